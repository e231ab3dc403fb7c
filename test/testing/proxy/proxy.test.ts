import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ProxyFaults, proxy } from '../../../src/testing/index.js';
import {
  type ClientOptions,
  connect,
  lines,
  type ServerOptions,
  serve,
} from '../../../src/transport/index.js';
import { CLIENT_TLS, SERVER_TLS } from '../../fixtures/certificates.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { portOf } from '../../fixtures/ports.js';
import { Recorder } from '../../fixtures/recorder.js';
import { elapse, until, within } from '../../fixtures/waiting.js';
import { proxiedEcho, TCP, UDP } from './proxied-echo.js';

noLeaks();

describe('without faults', () => {
  test.each<[string, ServerOptions, ClientOptions]>([
    [TCP, {}, {}],
    ['tls://localhost:0', { tls: SERVER_TLS }, { tls: CLIENT_TLS }],
    ['ws://127.0.0.1:0/chat', {}, {}],
    [UDP, {}, {}],
  ])('passes messages in both directions: %s', async (address, serverOptions, clientOptions) => {
    await using all = await proxiedEcho({}, address, serverOptions, clientOptions);
    expect(all.network.address).not.toBe(all.server.address);
    expect(all.network.address).toMatch(new RegExp(`^${address.replace(':0', ':\\d+')}$`));
    all.session.write('hello');
    expect(await all.received.messages.next()).toBe('hello');
    expect(all.network).toMatchObject({ connections: 1, accepted: 1 });
    expect(all.network.bytes.toServer).toBeGreaterThanOrEqual('hello\n'.length);
  });

  test('passes messages between Unix sockets, at a path of its own', async () => {
    const path = join(tmpdir(), `getty-proxied-${process.pid}.sock`);
    await using all = await proxiedEcho({}, `unix://${path}`);
    const ownPath = all.network.address.slice('unix://'.length);
    expect(existsSync(ownPath)).toBe(true);
    all.session.write('hello');
    expect(await all.received.messages.next()).toBe('hello');
    all.network.reset();
    await all.received.closed.next();
    await all.network.close();
    expect(existsSync(ownPath)).toBe(false);
  });

  test('passes megabytes unchanged and in order', async () => {
    await using all = await proxiedEcho();
    const line = 'x'.repeat(1_000);
    for (let at = 0; at < 2_000; at++) all.session.write(`${at} ${line}`);
    const received = await all.received.messages.take(2_000);
    expect(received.every((text, at) => text === `${at} ${line}`)).toBe(true);
  });

  test('passes the end of each side', async () => {
    await using all = await proxiedEcho();
    all.session.write('last');
    await all.session.close();
    expect(await all.received.messages.next()).toBe('last');
    await all.served.closed.next();
    expect(all.served.errors.all).toEqual([]);
    await until(() => all.network.connections === 0, 'no connection');
  });

  test('passes a reset', async () => {
    await using all = await proxiedEcho();
    const socket = connectSocket(portOf(all.network.address), '127.0.0.1');
    await once(socket, 'connect');
    await until(() => all.network.connections === 2, 'the second connection');
    await all.served.opened.next();
    socket.resetAndDestroy();
    await all.served.closed.next();
    expect(all.served.log).toContain('error CONNECTION_LOST');
  });

  test('listens where it is told', async () => {
    await using server = await serve(TCP, { codec: lines(), listener: { onMessage() {} } });
    await using first = await proxy(server.address);
    const port = portOf(first.address);
    await first.close();
    await using second = await proxy(server.address, {}, { listen: `tcp://127.0.0.1:${port}` });
    expect(second.address).toBe(`tcp://127.0.0.1:${port}`);
    await expect(proxy(server.address, {}, { listen: second.address })).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
    });
  });

  test('resets a client whose target does not listen', async () => {
    await using server = await serve(TCP, { codec: lines(), listener: { onMessage() {} } });
    await using network = await proxy(server.address);
    await server.close();
    const received = new Recorder<string>('the client');
    await using _client = await connect(
      network.address,
      { codec: lines(), listener: received },
      { reconnect: false },
    );
    await received.closed.next();
  });
});

describe('faults of streams', () => {
  test('latency and jitter delay each direction', async () => {
    await using all = await proxiedEcho({ latency: 30, jitter: 5 });
    const before = performance.now();
    all.session.write('hello');
    await all.received.messages.next();
    expect(performance.now() - before).toBeGreaterThanOrEqual(59);
  });

  test('bandwidth limits the bytes per second', async () => {
    await using all = await proxiedEcho({ toServer: { bandwidth: 10_000 } });
    const before = performance.now();
    all.session.write('x'.repeat(999));
    await all.received.messages.next();
    // The last portion, of at most 20 ms, need not be waited for.
    expect(performance.now() - before).toBeGreaterThanOrEqual(78);
  });

  test('slice limits the bytes that arrive at once', async () => {
    const chunks: number[] = [];
    await using server = await serve(TCP, {
      codec: {
        read(input) {
          chunks.push(input.length);
          return input.take(input.length);
        },
        write() {},
      },
      listener: { onMessage() {} },
    });
    await using network = await proxy(server.address, { slice: 7 });
    const socket = connectSocket(portOf(network.address), '127.0.0.1');
    socket.write('x'.repeat(100));
    await until(() => chunks.reduce((sum, size) => sum + size, 0) === 100, '100 bytes');
    // The operating system may join a few of them.
    expect(chunks.length).toBeGreaterThan(5);
    socket.destroy();
  });

  test('blocked keeps what is sent in one direction, until it is removed', async () => {
    await using all = await proxiedEcho();
    all.network.set({ toClient: { blocked: true } });
    all.session.write('hello');
    await all.served.messages.next();
    await elapse(10);
    expect(all.received.messages.all).toEqual([]);
    all.network.set({});
    expect(await all.received.messages.next()).toBe('hello');
  });

  test('blocked hides the end and the loss of a side until it is removed', async () => {
    await using all = await proxiedEcho();
    all.network.set({ blocked: true });
    all.session.destroy();
    await elapse(10);
    expect(all.served.log).toEqual(['open']);
    all.network.set({});
    await all.served.closed.next();
  });

  test('halfOpen hides the end of a side', async () => {
    await using all = await proxiedEcho({ toServer: { halfOpen: true } });
    all.session.destroy();
    await all.received.closed.next();
    await elapse(10);
    expect(all.served.log).toEqual(['open']);
    expect(all.network.connections).toBe(1);
  });

  test('limit resets a connection after so many bytes', async () => {
    await using all = await proxiedEcho({ toServer: { limit: 8 } });
    all.session.write('hello');
    expect(await all.received.messages.next()).toBe('hello');
    all.session.write('world');
    await all.received.closed.next();
    expect(all.network.bytes.toServer).toBe(8);
    expect(all.received.errors.all.map(({ code }) => code)).toEqual(['CONNECTION_LOST']);
  });

  test('resetAfter resets each connection this long after it was accepted', async () => {
    const before = performance.now();
    await using all = await proxiedEcho();
    all.network.set({ resetAfter: 50 });
    await all.received.closed.next();
    expect(performance.now() - before).toBeGreaterThanOrEqual(49);
    expect(all.received.errors.all.map(({ code }) => code)).toEqual(['CONNECTION_LOST']);
  });

  test('reset() resets all connections, and accepts new ones', async () => {
    await using all = await proxiedEcho({}, TCP, {}, { reconnect: { initialDelay: 1 } });
    all.network.reset();
    await all.received.closed.next();
    expect(all.received.errors.all.map(({ code }) => code)).toEqual(['CONNECTION_LOST']);
    (await within(reconnected(all.received), 'a new session')).write('again');
    expect(await all.received.messages.next()).toBe('again');
    expect(all.network.accepted).toBe(2);
  });

  test('refusing resets new connections, and leaves open ones', async () => {
    await using all = await proxiedEcho();
    all.network.refusing = true;
    const socket = connectSocket(portOf(all.network.address), '127.0.0.1');
    await expect(once(socket, 'close')).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(all.network).toMatchObject({ connections: 1, accepted: 2 });
    all.session.write('hello');
    expect(await all.received.messages.next()).toBe('hello');
  });

  test('new connections go to another target', async () => {
    await using all = await proxiedEcho();
    await using other = await serve(TCP, {
      codec: lines(),
      listener: { onMessage: (session, line) => session.write(`other: ${line}`) },
    });
    all.network.target = other.address;
    expect(all.network.target).toBe(other.address);
    const received = new Recorder<string>('the second client');
    await using client = await connect(all.network.address, { codec: lines(), listener: received });
    (await client.session()).write('hello');
    expect(await received.messages.next()).toBe('other: hello');
  });
});

async function reconnected(received: Recorder<string>) {
  await received.opened.next();
  return received.opened.next();
}

describe('refuses', () => {
  const badOption = (message: RegExp): object =>
    expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringMatching(message) });

  test.each<[string, ProxyFaults, RegExp]>([
    ['a negative latency', { latency: -1 }, /^latency: got -1/],
    ['a loss above 1', { loss: 2 }, /^loss: got 2, expected a number from 0 to 1/],
    ['an unknown fault', { latncy: 1 } as ProxyFaults, /did you mean latency/],
    ['an unknown fault of one direction', { toServer: { los: 1 } } as ProxyFaults, /mean loss/],
    ['a slice of no bytes', { toClient: { slice: 0 } }, /^slice: got 0/],
    ['a fault that is no boolean', { blocked: 1 as never }, /^blocked: got 1/],
  ])('%s', async (_, faults, message) => {
    await expect(proxy('tcp://127.0.0.1:1', faults)).rejects.toEqual(badOption(message));
  });

  test('an address without sockets, or with another scheme than the target', async () => {
    const badAddress = { code: 'BAD_ADDRESS' };
    await expect(proxy('memory://a')).rejects.toMatchObject(badAddress);
    await expect(
      proxy('tcp://127.0.0.1:1', {}, { listen: 'udp://127.0.0.1:0' }),
    ).rejects.toMatchObject(badAddress);
  });
});
