/** A node whose connection was lost, or whose dial failed: when it is dialed again. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { consume, provide, type Registry } from '../../../src/micro/index.js';
import { memory } from '../../../src/registries/memory.js';
import { contract, implement, serverStream, unary } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { portOf } from '../../fixtures/ports.js';
import { RawServer } from '../../fixtures/raw-peer.js';
import { node } from '../../fixtures/registries.js';
import { frameBytes } from '../../fixtures/rpc-frames.js';
import { TcpProxy } from '../../fixtures/tcp-proxy.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, Inbox, until } from '../../fixtures/waiting.js';

const Work = contract('Work', {
  getId: unary<void, string>({ idempotent: true }),
  ticks: serverStream<void, number>(),
});

noLeaks();

/**
 * A consumer and a node behind a proxy. After a failure the client of the consumer dials again
 * after minutes.
 */
async function lostNode(registry: Registry) {
  const hidden = memory();
  const held = gate();
  const ticks = async function* (): AsyncGenerator<number> {
    yield 0;
    await held.promise;
  };
  const work = await provide({
    registry: hidden,
    address: 'tcp://127.0.0.1:0',
    services: [implement(Work, { getId: () => 'a', ticks })],
  });
  const proxy = await TcpProxy.to({ host: '127.0.0.1', port: portOf(work.address) });
  const consumer = consume({
    registry,
    connections: 1,
    reconnect: { initialDelay: 300_000, maxDelay: 300_000 },
    drainTimeout: 0,
  });
  const entry = node('a', {
    service: 'Work',
    group: '',
    version: '',
    address: `tcp://127.0.0.1:${proxy.port}`,
  });
  return {
    proxy,
    consumer,
    stub: consumer.stub(Work),
    /** Publishes the entry, with other metadata each time. */
    publish: (weight: string) => registry.register({ ...entry, metadata: { weight } }),
    async hasState(state: 'connected' | 'unavailable') {
      await until(() => consumer.statistics().nodes[state] === 1, `the node is ${state}`);
    },
    async [Symbol.asyncDispose]() {
      held.open();
      await consumer.close();
      await proxy.close();
      await work.close();
      await hidden[Symbol.asyncDispose]();
    },
  };
}

it('a node whose connection was lost is dialed for a call, also while its client waits before it dials again', async () => {
  await using registry = memory();
  await using lost = await lostNode(registry);
  await using _entry = await lost.publish('1');
  expect(await lost.stub.getId()).toBe('a');
  lost.proxy.refuse();
  await lost.hasState('unavailable');
  await expect(lost.stub.getId()).rejects.toMatchObject({ code: 'UNAVAILABLE', unsent: true });
  lost.proxy.accept();
  expect(await lost.stub.getId()).toBe('a');
});

it('a node whose connection was lost is dialed without a call when its entry changes', async () => {
  await using registry = memory();
  await using lost = await lostNode(registry);
  await using _entry = await lost.publish('1');
  expect(await lost.stub.getId()).toBe('a');
  lost.proxy.refuse();
  await lost.hasState('unavailable');
  lost.proxy.accept();
  await using _changed = await lost.publish('2');
  await lost.hasState('connected');
});

it('a node whose connection was lost is dialed without a call when it is published again before its calls have ended', async () => {
  await using registry = memory();
  await using lost = await lostNode(registry);
  const entry = await lost.publish('1');
  const ticks = (await lost.stub.ticks())[Symbol.asyncIterator]();
  expect(await ticks.next()).toEqual({ done: false, value: 0 });
  await entry[Symbol.asyncDispose]();
  const resolver = lost.consumer.resolver(Work);
  await until(() => resolver.nodes().length === 0, 'the node has left');
  lost.proxy.cut();
  await expect(ticks.next()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await using _back = await lost.publish('1');
  await lost.hasState('connected');
});

it('a node is dialed again when its entry changed during a dial that fails', async () => {
  await using registry = memory();
  const silent = createServer((socket) => socket.on('error', () => {}).resume());
  await once(silent.listen(0, '127.0.0.1'), 'listening');
  await using lost = await lostNode(registry);
  const { proxy } = lost;
  const answering = proxy.target;
  proxy.retarget({ host: '127.0.0.1', port: (silent.address() as AddressInfo).port });
  await using _entry = await lost.publish('1');
  const answer = lost.stub.getId(undefined, { timeout: 60_000 });
  await until(() => proxy.open === 1, 'the node is being dialed');
  await using _changed = await lost.publish('2');
  const resolver = lost.consumer.resolver(Work);
  await until(() => resolver.nodes()[0]?.metadata.weight === '2', 'the entry has changed');
  proxy.retarget(answering);
  proxy.cut();
  expect(await answer).toBe('a');
  await once(silent.close(), 'close');
});

it.each([true, false])(
  'a node that sends goaway at once is dialed with pauses while a call waits (reconnect: %s)',
  async (reconnect) => {
    const connectedAt: number[] = [];
    const connections = new Inbox<void>('a connection');
    await using server = await RawServer.serve({}, ({ command, bytes }, peer) => {
      if (command !== 1) return false;
      connectedAt.push(performance.now());
      connections.push();
      const answer = Buffer.from(bytes);
      answer.writeInt16LE(2, 4);
      peer.session.write(Buffer.concat([answer, frameBytes({ command: 9, sequence: 0n })]));
      return true;
    });
    await using registry = memory();
    await using _entry = await registry.register(
      node('a', { service: 'Work', group: '', version: '', address: server.address }),
    );
    await using consumer = consume({ registry, connections: 1, reconnect, drainTimeout: 0 });
    const abort = new AbortController();
    const waiting = rejection(
      consumer.stub(Work).getId(undefined, { timeout: 300_000, signal: abort.signal }),
    );
    for (let i = 0; i < 4; i++) await connections.next();
    abort.abort();
    expect(await waiting).toMatchObject({ code: 'CANCELLED', unsent: true });
    const pauses = connectedAt.slice(1).map((time, i) => time - (connectedAt[i] as number));
    // Half of 200, 400 and 800 ms. Timers may be up to 1 ms early.
    expect(pauses[0]).toBeGreaterThan(98);
    expect(pauses[1]).toBeGreaterThan(198);
    expect(pauses[2]).toBeGreaterThan(398);
  },
);

it.each([[{ maxAttempts: 1, initialDelay: 1, maxDelay: 1 }], [false]])(
  'a node whose client has given up is called again besides other nodes, with reconnect %j',
  async (reconnect) => {
    await using registry = memory();
    const start = (id: string) =>
      provide({
        registry,
        id,
        address: 'tcp://127.0.0.1:0',
        services: [implement(Work, { getId: () => id, async *ticks() {} })],
      });
    await using hidden = memory();
    await using _other = await start('other');
    const work = await provide({
      registry: hidden,
      address: 'tcp://127.0.0.1:0',
      services: [implement(Work, { getId: () => 'behind', async *ticks() {} })],
    });
    const proxy = await TcpProxy.to({ host: '127.0.0.1', port: portOf(work.address) });
    const address = `tcp://127.0.0.1:${proxy.port}`;
    const entry = node('behind', { service: 'Work', group: '', version: '', address });
    await using _entry = await registry.register(entry);
    const consumer = consume({ registry, connections: 1, reconnect, drainTimeout: 0 });
    const stub = consumer.stub(Work);
    const isCalled = async (id: string): Promise<void> => {
      for (let answer = ''; answer !== id; ) answer = await stub.getId();
    };
    await isCalled('behind');
    proxy.refuse();
    await until(() => consumer.statistics().nodes.connected === 1, 'the connection is lost');
    await isCalled('other');
    proxy.accept();
    await isCalled('behind');
    await consumer.close();
    await proxy.close();
    await work.close();
  },
);
