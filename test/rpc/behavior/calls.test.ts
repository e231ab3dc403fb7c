/** Calls of a client: replies, errors, cancellation, metadata and order. */
import { expect } from 'vitest';
import { type CallContext, RpcError } from '../../../src/rpc/index.js';
import { LONG_TIMEOUT, pendingOf, TestService } from '../../fixtures/rpc.js';
import { testInEveryEnvironment } from '../../fixtures/rpc-environments.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, Inbox, until } from '../../fixtures/waiting.js';

testInEveryEnvironment({
  async 'a unary call returns the reply of its handler'(environment) {
    await using pair = await environment.rig();
    expect(await pair.stub.test({ A: 'a', B: 'é', C: '漢𝒳' })).toMatchObject({ A: 'a, é, 漢𝒳' });
    expect(await pair.stub.add({ A: -5, B: 2 })).toMatchObject({ Sum: -3 });
    expect(await pair.stub.add({})).toMatchObject({ Sum: 0 });
  },

  async 'a oneway call settles when it is queued and gets no answer'(environment) {
    const received = new Inbox<string>('an event');
    const handled = gate();
    await using pair = await environment.rig({
      handlers: {
        event: async ({ A }) => {
          received.push(A);
          await handled.promise;
          return {};
        },
      },
    });
    expect(await pair.stub.event({ A: 'one' })).toBeUndefined();
    await pair.stub.event({ A: 'two' });
    expect(await received.take(2)).toEqual(['one', 'two']);
    expect(pendingOf(pair.client)).toBe(0);
    handled.open();
  },

  async 'the callback of a call gets the reply or the error once'(environment) {
    await using pair = await environment.rig();
    const settled = new Inbox<[Error | null, unknown]>('a callback');
    expect(
      pair.stub.add({ A: 1, B: 2 }, (error, reply) => settled.push([error, reply])),
    ).toBeUndefined();
    expect(await settled.next()).toMatchObject([null, { Sum: 3 }]);
    pair.stub.err({ A: 1 }, { timeout: LONG_TIMEOUT }, (error, reply) =>
      settled.push([error, reply]),
    );
    const [error, reply] = await settled.next();
    expect([(error as RpcError).code, error?.message, reply]).toEqual([
      'UNKNOWN',
      'this is a error test',
      undefined,
    ]);
    pair.stub.event({ A: 'x' }, (failure) => settled.push([failure, 'queued']));
    expect(await settled.next()).toEqual([null, 'queued']);
  },

  async 'a caller gets the error that the handler throws'(environment) {
    await using pair = await environment.rig({
      handlers: {
        add: () =>
          Promise.reject(
            new RpcError('ABORTED', 'not now', {
              metadata: { retry: 'never' },
              details: Uint8Array.of(0, 255),
            }),
          ),
      },
    });
    expect(await rejection(pair.stub.err({ A: 1 }))).toMatchObject({
      name: 'RpcError',
      code: 'UNKNOWN',
      message: 'this is a error test',
    });
    const error = await rejection<RpcError>(pair.stub.add({}));
    expect([error.code, error.message, error.metadata.retry, [...(error.details ?? [])]]).toEqual([
      'ABORTED',
      'not now',
      'never',
      [0, 255],
    ]);
  },

  async 'a call without an answer fails with DEADLINE_EXCEEDED at its timeout, and other calls continue'(
    environment,
  ) {
    const answer = gate<{ A: string }>();
    await using pair = await environment.rig({ handlers: { test: () => answer.promise } });
    const patient = pair.stub.test({ A: 'patient' }, { timeout: LONG_TIMEOUT });
    let start = 0;
    let late: RpcError | undefined;
    // On a busy machine a short timeout may pass before the call is sent.
    for (let timeout = 30; late?.unsent !== false && timeout < LONG_TIMEOUT; timeout *= 10) {
      start = performance.now();
      late = await rejection<RpcError>(pair.stub.test({ A: 'hasty' }, { timeout }));
    }
    expect(late).toMatchObject({ code: 'DEADLINE_EXCEEDED', unsent: false });
    expect(performance.now() - start).toBeGreaterThanOrEqual(29);
    answer.open({ A: 'done' });
    expect(await patient).toMatchObject({ A: 'done' });
    expect(pendingOf(pair.client)).toBe(0);
  },

  async 'a call whose signal has aborted is not sent'(environment) {
    const received: unknown[] = [];
    await using pair = await environment.rig({
      handlers: {
        add(input) {
          received.push(input);
          return { Sum: 0 };
        },
      },
    });
    const reason = new Error('changed my mind');
    expect(
      await rejection(pair.stub.add({ A: 1 }, { signal: AbortSignal.abort(reason) })),
    ).toMatchObject({
      code: 'CANCELLED',
      unsent: true,
      cause: reason,
    });
    await pair.stub.test({});
    expect(received).toEqual([]);
  },

  async 'a pending call fails with CANCELLED when its signal aborts, and its late answer is ignored'(
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
    const abort = new AbortController();
    const call = rejection(pair.stub.test({}, { signal: abort.signal, timeout: LONG_TIMEOUT }));
    await arrived.promise;
    abort.abort();
    expect(await call).toMatchObject({ code: 'CANCELLED', unsent: false });
    expect(pendingOf(pair.client)).toBe(0);
    answer.open({ A: 'too late' });
    expect(await pair.stub.add({ A: 1, B: 2 })).toMatchObject({ Sum: 3 });
  },

  async 'a handler gets the metadata of the call, with any keys and values'(environment) {
    const received: CallContext['metadata'][] = [];
    await using pair = await environment.rig({
      handlers: {
        add(_, { metadata }) {
          received.push(metadata);
          return { Sum: 0 };
        },
      },
    });
    const metadata = {
      trace: '42',
      empty: '',
      '': 'no key',
      漢: '字 "\\\n',
      constructor: 'c',
      long: 'x'.repeat(1_000),
    };
    await pair.stub.add({}, { metadata });
    await pair.stub.add({});
    expect({ ...received[0] }).toEqual(metadata);
    expect({ ...received[1] }).toEqual({});
  },

  async 'calls are answered in the order in which their handlers finish'(environment) {
    const gates = Array.from({ length: 20 }, () => gate());
    await using pair = await environment.rig({
      handlers: {
        add: async ({ A }) => {
          await gates[A]?.promise;
          return { Sum: A };
        },
      },
    });
    const order: number[] = [];
    const calls = gates.map(async (_, A) => order.push((await pair.stub.add({ A })).Sum));
    const wanted = gates.map((_, index) => (index * 7) % 20);
    for (const index of wanted) {
      gates[index]?.open();
      await until(() => order.at(-1) === index, `call ${index} is answered`);
    }
    await Promise.all(calls);
    expect(order).toEqual(wanted);
  },

  async 'each of 500 concurrent calls of two clients gets its own answer'(environment) {
    await using pair = await environment.rig({ client: { connections: 2 } });
    await using other = await environment.connect(pair.server.address);
    await until(() => pair.client.channels.size === 2, 'both sessions are open');
    const stubs = [pair.stub, other.stub(TestService, { codec: environment.codec })];
    const sums = await Promise.all(
      Array.from(
        { length: 500 },
        async (_, n) => (await (stubs[n % 2] as typeof pair.stub).add({ A: n, B: n })).Sum,
      ),
    );
    expect(sums).toEqual(Array.from({ length: 500 }, (_, n) => 2 * n));
  },
});
