/**
 * When a consumer dials its nodes, which nodes receive calls meanwhile, and when connections are
 * closed.
 */
import { describe, expect, it } from 'vitest';
import { captureAsyncContext } from '../../../src/core/node-async-context.js';
import { consume, failfast, roundRobin, type ServiceNode } from '../../../src/micro/index.js';
import { IDLE_CHECKS } from '../../../src/micro/nodes/idle-check.js';
import { NodeClient } from '../../../src/micro/nodes/node-client.js';
import { memory } from '../../../src/registries/memory.js';
import { type Channel, implement, serve } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { TcpProxy } from '../../fixtures/tcp-proxy.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, Inbox, turns, until, within } from '../../fixtures/waiting.js';
import { provideWork, silentAddress, Work, workAt } from './work-nodes.js';

noLeaks();

describe('a node that is not connected', () => {
  it('delays no call while another node is connected, even if it accepts connections and never answers', async () => {
    await using registry = memory();
    await using _a = await provideWork(registry, 'a');
    const silent = await silentAddress();
    await using _silent = await registry.register(workAt('silent', silent.address));
    {
      await using consumer = consume({
        registry,
        balancer: roundRobin(),
        strategy: failfast(),
        heartbeatTimeout: 60_000,
        drainTimeout: 0,
      });
      const stub = consumer.stub(Work);
      for (let i = 0; i < 20; i++)
        expect(await stub.getId(undefined, { timeout: 10_000 })).toBe('a');
      const { leftOut } = await consumer.explain(Work);
      expect(leftOut.map(({ node, reason }) => [node.id, reason])).toEqual([
        ['silent', 'connecting'],
      ]);
    }
    await silent.close();
  });

  it('is waited for when no node is connected, until the timeout or cancellation of the call', async () => {
    await using registry = memory();
    const silent = await silentAddress();
    await using _silent = await registry.register(workAt('silent', silent.address));
    {
      await using consumer = consume({ registry, heartbeatTimeout: 60_000, drainTimeout: 0 });
      const stub = consumer.stub(Work);
      await expect(stub.getId(undefined, { timeout: 300 })).rejects.toMatchObject({
        code: 'DEADLINE_EXCEEDED',
        unsent: true,
        message: expect.stringContaining(silent.address),
        cause: { message: expect.stringContaining('it has no connection') },
      });
      const abort = new AbortController();
      const cancelled = stub.getId(undefined, { timeout: 60_000, signal: abort.signal });
      abort.abort();
      await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED', unsent: true });
      // The call goes to the first node that is connected, even if it is published later.
      const waiting = stub.getId(undefined, { timeout: 60_000 });
      await turns(2);
      await using _a = await provideWork(registry, 'a');
      expect(await waiting).toBe('a');
    }
    await silent.close();
  });

  it('does not delay close(), which ends the dial and fails the calls that wait for it', async () => {
    await using registry = memory();
    const silent = await silentAddress();
    const address = `${silent.address.replace('tcp:', 'ws:')}/`;
    await using _silent = await registry.register(workAt('silent', address));
    const longTimes = { connectTimeout: 300_000, drainTimeout: 300_000 };
    const consumer = consume({ registry, ...longTimes });
    const waiting = expect(
      consumer.stub(Work).getId(undefined, { timeout: 300_000 }),
    ).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      unsent: true,
      message: expect.stringContaining('the consumer is closed'),
    });
    await silent.connected;
    await consumer.close();
    await waiting;
    await silent.close();
  });

  it('receives the calls that the balancer gives it as soon as it is connected', async () => {
    await using registry = memory();
    await using _a = await provideWork(registry, 'a');
    await using _b = await provideWork(registry, 'b');
    await using consumer = consume({
      registry,
      balancer: () => (nodes) => nodes.find(({ id }) => id === 'b') ?? (nodes[0] as ServiceNode),
    });
    const stub = consumer.stub(Work);
    expect(await Promise.all(Array.from({ length: 20 }, () => stub.getId()))).toEqual(
      Array.from({ length: 20 }, () => 'b'),
    );
  });
});

describe('a node that freezes', () => {
  it('receives no calls until its next sign of life', async () => {
    await using registry = memory();
    await using hidden = memory();
    await using _a = await provideWork(registry, 'a');
    await using frozen = await provideWork(hidden, 'frozen');
    const proxy = await TcpProxy.to({
      host: '127.0.0.1',
      port: Number(new URL(frozen.address).port),
    });
    try {
      await using _frozen = await registry.register(
        workAt('frozen', `tcp://127.0.0.1:${proxy.port}`),
      );
      await using consumer = consume({
        registry,
        balancer: roundRobin(),
        strategy: failfast(),
        heartbeatTimeout: 60_000,
        ejection: false,
      });
      const stub = consumer.stub(Work);
      const ask = async (): Promise<Set<string>> =>
        new Set(
          await Promise.all(
            Array.from({ length: 10 }, () => stub.getId(undefined, { timeout: 60_000 })),
          ),
        );
      while ((await ask()).size < 2) await turns();
      proxy.hold();
      // roundRobin() sends one call to each node.
      const pending = Promise.all([
        stub.getId(undefined, { timeout: 60_000 }),
        stub.getId(undefined, { timeout: 60_000 }),
      ]);
      const isLeftOut = async (): Promise<boolean> =>
        (await consumer.explain(Work)).leftOut.some(({ reason }) => reason === 'no sign of life');
      while (!(await isLeftOut())) await turns();
      expect(await ask()).toEqual(new Set(['a']));
      proxy.release();
      expect(new Set(await pending)).toEqual(new Set(['a', 'frozen']));
      while ((await ask()).size < 2) await turns();
    } finally {
      await proxy.close();
    }
  });
});

describe('a node that leaves the list', () => {
  it('finishes its calls, and keeps its connection when it returns', async () => {
    await using registry = memory();
    await using hidden = memory();
    const pending = gate<string>();
    await using work = await provideWork(hidden, 'a', () => pending.promise);
    const proxy = await TcpProxy.to({
      host: '127.0.0.1',
      port: Number(new URL(work.address).port),
    });
    try {
      const entry = workAt('a', `tcp://127.0.0.1:${proxy.port}`);
      const registration = await registry.register(entry);
      await using consumer = consume({ registry, connections: 1, drainTimeout: 0 });
      const resolver = consumer.resolver(Work);
      const stub = consumer.stub(Work);
      const answer = stub.wait(undefined, { timeout: 60_000 });
      const ticks = (await stub.ticks())[Symbol.asyncIterator]();
      expect(await ticks.next()).toEqual({ done: false, value: 0 });
      await registration[Symbol.asyncDispose]();
      await until(() => resolver.nodes().length === 0, 'the list has no node');
      await using _back = await registry.register(entry);
      await until(() => resolver.nodes().length === 1, 'the list has the node again');
      expect(await stub.getId()).toBe('a');
      expect(proxy.accepted).toBe(1);
      pending.open('done');
      expect(await answer).toBe('done');
      expect(await ticks.next()).toEqual({ done: false, value: 1 });
      await ticks.return?.();
    } finally {
      await proxy.close();
    }
  });

  it('is disconnected when its last call has ended', async () => {
    await using registry = memory();
    await using hidden = memory();
    const pending = gate<string>();
    const entered = new Inbox<void>('a call');
    const wait = (): Promise<string> => {
      entered.push();
      return pending.promise;
    };
    await using work = await provideWork(hidden, 'a', wait);
    const proxy = await TcpProxy.to({
      host: '127.0.0.1',
      port: Number(new URL(work.address).port),
    });
    try {
      const registration = await registry.register(workAt('a', `tcp://127.0.0.1:${proxy.port}`));
      await using consumer = consume({ registry, connections: 1, drainTimeout: 0 });
      const answer = consumer.stub(Work).wait(undefined, { timeout: 60_000 });
      await entered.next();
      await registration[Symbol.asyncDispose]();
      pending.open('done');
      expect(await answer).toBe('done');
      await until(() => proxy.open === 0, 'the connection is closed');
    } finally {
      await proxy.close();
    }
  });
});

it('a client stays connected while its node calls this process, and is closed without calls', async () => {
  const channels: Channel[] = [];
  const server = await serve('tcp://127.0.0.1:0', [
    implement(Work, {
      getId(_, { channel }) {
        channels.push(channel);
        return 'the node';
      },
      wait: () => '',
      async *ticks() {},
    }),
  ]);
  const services = [
    implement(Work, { getId: () => 'the consumer', wait: () => '', async *ticks() {} }),
  ];
  const client = new NodeClient(server.address, { services }, captureAsyncContext(), () => {});
  await client.connect();
  await client.use().stub(Work).getId();
  const [channel] = channels as [Channel];
  for (let i = 0; i < 3 * IDLE_CHECKS; i++) {
    expect(await channel.stub(Work).getId()).toBe('the consumer');
    client.checkIdle();
  }
  expect(client.isConnected).toBe(true);
  for (let i = 0; i <= IDLE_CHECKS; i++) client.checkIdle();
  expect(client.isConnected).toBe(false);
  await Promise.all([client.close(), server.close()]);
});

it('that is idle while its dial waits for the server ends the dial when the session is lost', async () => {
  const silent = await silentAddress();
  const options = { heartbeatTimeout: 300, drainTimeout: 0, reconnect: false } as const;
  const client = new NodeClient(silent.address, options, captureAsyncContext(), () => {});
  const dial = rejection(client.connect());
  await until(() => client.peers.length > 0, 'the session is open');
  for (let i = 0; i <= IDLE_CHECKS; i++) client.checkIdle();
  expect(await within(dial, 'the dial to end')).toMatchObject({ code: 'CONNECTION_LOST' });
  await client.close();
  expect(await within(rejection(client.connect()), 'connect()')).toBeInstanceOf(Error);
  await silent.close();
});
