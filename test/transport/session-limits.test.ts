/** maxSessions and maxSessionsPerAddress. */
import { describe, expect, it, vi } from 'vitest';
import {
  type GettyError,
  lines,
  type Server,
  type ServerOptions,
  serve,
} from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { Recorder } from '../fixtures/recorder.js';
import { SERVER_TRANSPORTS, transportsNamed } from '../fixtures/session-probes.js';
import {
  connectAs,
  rejection,
  serveAs,
  setupOf,
  type TransportRow,
} from '../fixtures/transports.js';
import { until } from '../fixtures/waiting.js';

/** Calls `action` with a function that returns the process warnings so far. */
async function withWarnings(
  action: (warnings: () => GettyError[]) => Promise<void>,
): Promise<void> {
  const spy = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
  try {
    await action(() => spy.mock.calls.map(([warning]) => warning as unknown as GettyError));
  } finally {
    spy.mockRestore();
  }
}

describe.each(SERVER_TRANSPORTS)('maxSessions: $name', (row) => {
  noLeaks();

  async function serveLimited(
    options: ServerOptions,
    address?: string,
    on: Partial<Recorder<string>> = {},
  ) {
    const events = new Recorder<string>('the server', on);
    const server = await serveAs(row, setupOf(row, events), address, options);
    return { server, events, [Symbol.asyncDispose]: () => server.close() };
  }

  async function connectAccepted(server: Server<string>, address = server.address) {
    const events = new Recorder<string>('a client');
    const before = server.sessions.size;
    const client = await connectAs(row, address, setupOf(row, events), { reconnect: false });
    await until(() => server.sessions.size === before + 1, 'the server has its session');
    return { client, events, session: await client.session() };
  }

  /** Connects, and expects that the server refuses it. */
  async function connectRefused(address: string): Promise<void> {
    const events = new Recorder<string>('the refused client');
    try {
      await using _client = await connectAs(row, address, setupOf(row, events), {
        reconnect: false,
      });
      await events.closed.next();
    } catch (error) {
      expect(['CONNECTION_LOST', 'CONNECT_FAILED']).toContain((error as GettyError).code);
    }
  }

  it('refuses further peers with one process warning, and accepts one when a session ends', () =>
    withWarnings(async (warnings) => {
      await using limit = await serveLimited({ maxSessions: 2 });
      const { server } = limit;
      const first = await connectAccepted(server);
      const second = await connectAccepted(server);
      for (let i = 0; i < 3; i++) await connectRefused(server.address);
      expect(server.sessions.size).toBe(2);
      expect(limit.events.opened.all.length).toBe(2);
      expect(warnings()).toEqual([
        expect.objectContaining({
          code: 'SESSION_REFUSED',
          message: expect.stringMatching(
            /^peers refused at .*: 1, most recently .*: maxSessions, 2, are open$/,
          ),
        }),
      ]);
      first.session.write('still here');
      expect(await limit.events.messages.next()).toBe('still here');

      await first.client.close();
      await until(() => server.sessions.size === 1, 'the first session has ended');
      const third = await connectAccepted(server);
      await connectRefused(server.address);
      for (const { client } of [second, third]) await client.close();
    }));

  it('does not count a session that has ended, however it ended', () =>
    withWarnings(async () => {
      let fail = '';
      await using limit = await serveLimited(
        { maxSessions: 2, maxSessionsPerAddress: 2 },
        undefined,
        {
          onOpen() {
            if (fail === 'onOpen') throw new Error('not you');
          },
        },
      );
      const { server, events } = limit;
      for (const how of [
        'close',
        'destroy',
        'close here',
        'destroy here',
        'onOpen',
        'onOpen',
        'onOpen',
      ]) {
        fail = how;
        const clientEvents = new Recorder<string>('a client');
        const client = await connectAs(row, server.address, setupOf(row, clientEvents), {
          reconnect: false,
        });
        const far = await events.opened.next();
        if (how === 'close') await client.close();
        if (how === 'destroy') client.destroy();
        if (how === 'close here') await far.close();
        if (how === 'destroy here') far.destroy();
        await until(() => server.sessions.size === 0, 'the session is over');
        await client.close();
      }
      fail = '';
      const both = [await connectAccepted(server), await connectAccepted(server)];
      await connectRefused(server.address);
      for (const { client } of both) await client.close();
    }));
});

describe.each(transportsNamed('tcp', 'tls', 'ws', 'wss'))('maxSessionsPerAddress: $name', (row) => {
  noLeaks();

  it('counts each host separately, with one process warning for both limits', () =>
    withWarnings(async (warnings) => {
      const events = new Recorder<string>('the server');
      const allInterfaces = `${row.free().split(':')[0]}://:0`;
      await using server = await serveAs(row, setupOf(row, events), allInterfaces, {
        maxSessionsPerAddress: 2,
        maxSessions: 3,
      });
      const port = server.address.split(':').at(-1);
      const [ipv4, ipv6] = ['127.0.0.1', '[::1]'].map((host) =>
        server.address.replace(/:\/\/.*/, `://${host}:${port}`),
      ) as [string, string];
      const connectTo = async (address: string) => {
        const clientEvents = new Recorder<string>('a client');
        const client = await connectAs(row, address, setupOf(row, clientEvents), {
          reconnect: false,
        }).catch(() => undefined);
        return {
          close: () => client?.close(),
          closed: client === undefined ? Promise.resolve() : clientEvents.closed.next(),
        };
      };
      const first = await connectTo(ipv4);
      const second = await connectTo(ipv4);
      await until(() => server.sessions.size === 2, 'both have a session');
      await (await connectTo(ipv4)).closed;
      expect(server.sessions.size).toBe(2);
      const third = await connectTo(ipv6);
      await until(() => server.sessions.size === 3, 'the other host has a session');
      await (await connectTo(ipv6)).closed;
      expect(warnings()).toEqual([
        expect.objectContaining({
          code: 'SESSION_REFUSED',
          message: expect.stringMatching(
            /^peers refused at .*: 1, most recently .*: maxSessionsPerAddress, 2, are open from \[?::ffff:127\.0\.0\.1\]?$/,
          ),
        }),
      ]);
      await first.close();
      await until(() => server.sessions.size === 2, 'the first session has ended');
      const fourth = await connectTo(ipv4);
      await until(() => server.sessions.size === 3, 'the new session is open');
      for (const each of [second, third, fourth]) await each.close();
    }));
});

describe.each(transportsNamed('unix', 'memory'))('maxSessionsPerAddress: $name', (row) => {
  noLeaks();

  it('does not count peers without a host', async () => {
    const events = new Recorder<string>('the server');
    await using server = await serveAs(row, setupOf(row, events), undefined, {
      maxSessionsPerAddress: 1,
    });
    await using _one = await connectAs(
      row,
      server.address,
      setupOf(row, new Recorder<string>('one')),
    );
    await using _two = await connectAs(
      row,
      server.address,
      setupOf(row, new Recorder<string>('two')),
    );
    await events.opened.take(2);
  });
});

describe('maxSessionsPerAddress: udp', () => {
  noLeaks();

  it('accepts a peer when the session of its host has ended', () =>
    withWarnings(async (warnings) => {
      const events = new Recorder<string>('the server');
      const [row] = transportsNamed('udp') as [TransportRow];
      await using server = await serveAs(row, setupOf(row, events), undefined, {
        ...row.serverOptions,
        maxSessionsPerAddress: 1,
      });
      await using one = await connectAs(
        row,
        server.address,
        setupOf(row, new Recorder<string>('one')),
      );
      (await one.session()).write('one');
      expect(await events.messages.next()).toBe('one');
      await using two = await connectAs(
        row,
        server.address,
        setupOf(row, new Recorder<string>('two')),
      );
      (await two.session()).write('two');
      await until(() => warnings().length > 0, 'the second peer is refused');
      expect(warnings()[0]?.message).toMatch(
        /maxSessionsPerAddress, 1, are open from 127\.0\.0\.1$/,
      );
      expect(server.sessions.size).toBe(1);
      for (const session of server.sessions) session.destroy();
      await until(() => server.sessions.size === 0, 'the session has ended');
      (await two.session()).write('two again');
      expect(await events.messages.next()).toBe('two again');
    }));
});

it.each(['maxSessions', 'maxSessionsPerAddress'])(
  'rejects an invalid %s with BAD_OPTION',
  async (name) => {
    for (const given of [0, -1, '7', null, Number.NaN]) {
      const error = await rejection(
        serve('memory://limits', { codec: lines(), listener: { onMessage() {} } }, {
          [name]: given,
        } as ServerOptions),
      );
      expect(error).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining(`${name}: got`),
      });
    }
  },
);
