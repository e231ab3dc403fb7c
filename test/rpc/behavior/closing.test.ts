/** close() and destroy() of clients and servers. */
import { describe, expect, test } from 'vitest';
import { connect, type RpcError, serve } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { RawPeer } from '../../fixtures/raw-peer.js';
import {
  channelOf,
  freeMemoryAddress,
  LONG_TIMEOUT,
  outcome,
  rig,
  TestService,
  testService,
} from '../../fixtures/rpc.js';
import { testInEveryEnvironment } from '../../fixtures/rpc-environments.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, Inbox, turns, until, within } from '../../fixtures/waiting.js';

testInEveryEnvironment({
  async 'server.close() waits for calls in flight, and new calls of the client fail unsent'(
    environment,
  ) {
    const [arrived, answer] = [gate(), gate<{ A: string }>()];
    await using pair = await environment.rig({
      handlers: {
        test() {
          arrived.open();
          return answer.promise;
        },
      },
    });
    const inFlight = pair.stub.test({}, { timeout: LONG_TIMEOUT });
    await arrived.promise;
    const channel = await channelOf(pair.client);
    let closed = false;
    const closing = pair.server.close().then(() => {
      closed = true;
    });
    // Until the client has received goaway, its calls are handled.
    let last: RpcError | undefined;
    await until(() => {
      void pair.stub.add({ A: 1 }).catch((error: RpcError) => {
        last = error;
      });
      return last !== undefined;
    }, 'new calls are refused');
    expect(last).toMatchObject({ code: 'UNAVAILABLE', unsent: true });
    expect([closed, channel.closed]).toEqual([false, false]);
    answer.open({ A: 'finished' });
    expect(await inFlight).toMatchObject({ A: 'finished' });
    await within(closing, 'the server to close');
    await until(() => pair.client.channels.size === 0, 'the client has closed its session');
    expect(pair.server.channels.size).toBe(0);
    expect(await outcome(environment.connect(pair.server.address))).toBe('CONNECT_FAILED');
  },

  async 'an idle client closes its session when the server closes'(environment) {
    await using pair = await environment.rig({ server: { drainTimeout: LONG_TIMEOUT } });
    await pair.stub.add({});
    await within(pair.server.close(), 'the server to close');
    await until(() => pair.client.channels.size === 0, 'the client has closed its session');
  },

  async 'client.close() waits for calls in flight in both directions, and new calls fail unsent'(
    environment,
  ) {
    const [arrived, answer, nested] = [gate(), gate<{ A: string }>(), gate<{ Sum: number }>()];
    await using pair = await environment.rig({
      handlers: {
        test() {
          arrived.open();
          return answer.promise;
        },
      },
      client: { services: [environment.offeredService({ add: () => nested.promise })] },
    });
    const call = pair.stub.test({}, { timeout: LONG_TIMEOUT });
    await arrived.promise;
    const back = (await channelOf(pair.server))
      .stub(TestService, { codec: environment.codec })
      .add({}, { timeout: LONG_TIMEOUT });
    await turns(3);
    const closing = pair.client.close();
    expect(pair.client.closed).toBe(true);
    expect(await rejection(pair.stub.add({}))).toMatchObject({ code: 'UNAVAILABLE', unsent: true });
    answer.open({ A: 'finished' });
    expect(await call).toMatchObject({ A: 'finished' });
    expect(pair.client.channels.size).toBe(1);
    await turns(3);
    nested.open({ Sum: 7 });
    expect(await back).toMatchObject({ Sum: 7 });
    await within(closing, 'the client to close');
    await until(() => pair.server.channels.size === 0, 'the server has closed its session');
  },

  async 'close() waits for at most drainTimeout'(environment) {
    const arrived = new Inbox<void>('a call');
    const handlers = {
      test: () => {
        arrived.push();
        return new Promise<never>(() => {});
      },
    };
    for (const side of ['client', 'server'] as const) {
      await using pair = await environment.rig({ handlers, [side]: { drainTimeout: 20 } });
      const call = outcome(pair.stub.test({}, { timeout: LONG_TIMEOUT }));
      await arrived.next();
      await within(pair[side].close(), 'close() to settle');
      expect(await call).toBe('UNAVAILABLE');
    }
  },
});

describe('the end of clients and servers', () => {
  noLeaks();

  test('server.close() answers the first call of a client that has just connected', async () => {
    for (const address of [freeMemoryAddress(), 'tcp://127.0.0.1:0']) {
      await using pair = await rig({ address });
      const call = outcome(pair.stub.add({ A: 1, B: 2 }));
      await within(pair.server.close(), 'the server to close');
      expect(await call).toBe('ok');
    }
  });

  test('server.close() does not wait for a peer that has sent nothing', async () => {
    await using pair = await rig({ server: { drainTimeout: LONG_TIMEOUT } });
    await using peer = await RawPeer.connect(pair.server.address);
    await within(pair.server.close(), 'the server to close');
    await peer.end();
  });

  test('after goaway a client sends its calls to the next server at the address', async () => {
    const address = freeMemoryAddress();
    const first = await serve(address, [testService({ add: () => ({ Sum: 1 }) })]);
    await using client = await connect(address, {
      connections: 1,
      reconnect: { initialDelay: 1, maxDelay: 2 },
    });
    const stub = client.stub(TestService);
    expect(await stub.add({})).toMatchObject({ Sum: 1 });
    const closing = first.close();
    await using second = await serve(address, [testService({ add: () => ({ Sum: 2 }) })]);
    await closing;
    await until(() => second.channels.size === 1, 'the client has connected to the second server');
    expect(await stub.add({})).toMatchObject({ Sum: 2 });
  });

  test('destroy() ends calls at once, and close() after it waits until the port is free', async () => {
    const pair = await rig({
      address: 'tcp://127.0.0.1:0',
      handlers: { test: () => new Promise(() => {}) },
    });
    const call = outcome(pair.stub.test({}));
    await turns(3);
    pair.client.destroy();
    pair.server.destroy();
    await Promise.all([pair.client.close(), pair.server.close()]);
    expect([pair.client.channels.size, pair.server.channels.size]).toEqual([0, 0]);
    expect(await call).toBe('UNAVAILABLE');
    // The port is free.
    await using _next = await serve(pair.server.address, [testService()]);
  });

  test('close() and destroy() settle in any order, also when they are called again', async () => {
    const pair = await rig();
    const closing = [
      pair.client.close(),
      pair.server.close(),
      pair.client.close(),
      pair.server.close(),
    ];
    pair.client.destroy();
    pair.server.destroy();
    await Promise.all(closing);
    await Promise.all([pair.client[Symbol.asyncDispose](), pair.server[Symbol.asyncDispose]()]);
  });

  test('onReady reports whether the client has a session that accepts calls', async () => {
    const states: boolean[] = [];
    await using pair = await rig({ client: { onReady: (ready) => states.push(ready) } });
    await pair.stub.add({});
    expect(states).toEqual([true]);
    await pair.server.close();
    await until(() => states.length === 2, 'the client reports that it is not ready');
    expect(states).toEqual([true, false]);
  });
});
