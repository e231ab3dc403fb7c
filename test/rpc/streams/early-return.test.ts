/** return() of a stream of replies whose call has not begun, or whose first reply is pending. */
import { getEventListeners, once } from 'node:events';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { consume, failfast, failover, provide } from '../../../src/micro/index.js';
import { memory } from '../../../src/registries/memory.js';
import {
  connect,
  contract,
  type Interceptor,
  implement,
  RpcError,
  serve,
  serverStream,
  timeout,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { gate, until, within } from '../../fixtures/waiting.js';
import { delayedRegistry } from '../../micro/delayed-registry.js';

const News = contract('News', { watch: serverStream<void, number>() });
noLeaks();

test.each([
  ['has no item', 0],
  ['fails', -1],
  ['has items', 2],
])(
  'a stream that waits before it begins and %s leaves nothing at the signal of its call',
  async (_, count) => {
    const Numbers = contract('Numbers', { list: serverStream<number, number>() });
    const list = async function* (n: number) {
      if (n < 0) throw new RpcError('NOT_FOUND', 'none');
      for (let i = 0; i < n; i++) yield i;
    };
    await using server = await serve('tcp://127.0.0.1:0', [implement(Numbers, { list })]);
    // Its access makes the stream follow the signal.
    const reader: Interceptor = (next) => (call) => {
      void call.signal;
      return next(call);
    };
    await using client = await connect(server.address, { interceptors: [reader] });
    const abort = new AbortController();
    const options = { signal: abort.signal };
    const items: unknown[] = [];
    try {
      for await (const item of client.stub(Numbers).list(count, options)) items.push(item);
    } catch (error) {
      items.push((error as RpcError).code);
    }
    expect(items).toEqual(count < 0 ? ['NOT_FOUND'] : [0, 1].slice(0, count));
    expect(getEventListeners(abort.signal, 'abort')).toEqual([]);
  },
);

test.each(['failover', 'an interceptor'])(
  'a stream leaves nothing at a signal that %s accesses during or after its last step',
  async (accessor) => {
    const watch = (): never => {
      throw new RpcError('NOT_FOUND', 'none');
    };
    const wrapping: Interceptor = (next) => async (call) => {
      const replies = (await next(call)) as AsyncIterable<number>;
      return (async function* () {
        try {
          yield* replies;
        } finally {
          void call.signal;
        }
      })();
    };
    await using registry = memory();
    await using _provider = await provide({
      registry,
      address: 'memory://',
      services: [implement(News, { watch })],
    });
    await using consumer = consume({
      registry,
      interceptors: accessor === 'failover' ? [] : [wrapping],
      strategy: accessor === 'failover' ? failover() : failfast(),
    });
    const { signal } = new AbortController();
    // The first call waits for the list and for a connection, which accesses its signal before.
    for (const options of [undefined, { signal }]) {
      const replies = consumer.stub(News).watch(undefined, options)[Symbol.asyncIterator]();
      await expect(replies.next()).rejects.toMatchObject({ code: 'NOT_FOUND' });
    }
    await until(() => getEventListeners(signal, 'abort').length === 0, 'the listeners to go');
  },
);

test('return() before the call begins settles at once, and settles the pending next()', async () => {
  await using registry = delayedRegistry(memory(), new Promise(() => {}));
  await using consumer = consume({ registry });
  const given = new AbortController();
  for (const options of [undefined, { signal: given.signal }]) {
    const iterator = consumer.stub(News).watch(undefined, options)[Symbol.asyncIterator]();
    const pending = iterator.next();
    expect(await within(iterator.return?.() as Promise<unknown>, 'return()')).toEqual({
      done: true,
      value: undefined,
    });
    expect(await within(pending, 'next()')).toEqual({ done: true, value: undefined });
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
  }
  const readable = Readable.from(consumer.stub(News).watch());
  readable.on('error', () => {}).resume();
  await within(Promise.all([once(readable, 'close'), readable.destroy()]), 'the stream to close');
});

test('a call whose reader calls return() before it begins is not made', async () => {
  const listed = gate();
  await using registry = delayedRegistry(memory(), listed.promise);
  let calls = 0;
  const watch = async function* () {
    calls++;
    yield calls;
  };
  await using server = await serve('tcp://127.0.0.1:0', [implement(News, { watch })]);
  await registry.register({
    id: 'a',
    service: 'News',
    group: '',
    version: '',
    protocol: 'json',
    address: server.address,
    metadata: {},
  });
  await using consumer = consume({ registry });
  const iterator = consumer.stub(News).watch()[Symbol.asyncIterator]();
  void iterator.next();
  await iterator.return?.();
  listed.open();
  for await (const item of consumer.stub(News).watch()) expect(item).toBe(1);
  expect(calls).toBe(1);
});

test('return() while the first reply is pending settles at once, and cancels the call', async () => {
  const cancelled = gate();
  const watch = async function* (
    _: void,
    { signal }: { signal: AbortSignal },
  ): AsyncGenerator<number> {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    cancelled.open();
  };
  const passing: Interceptor = (next) => (call) => next(call);
  const readingSignal: Interceptor = (next) => (call) =>
    call.signal?.aborted ? Promise.reject(call.signal.reason) : next(call);
  for (const interceptors of [[], [passing], [readingSignal]]) {
    await using server = await serve('tcp://127.0.0.1:0', [implement(News, { watch })]);
    await using client = await connect(server.address, { interceptors });
    const given = new AbortController();
    const iterator = client
      .stub(News)
      .watch(undefined, { signal: given.signal })
      [Symbol.asyncIterator]();
    const pending = iterator.next();
    await until(() => [...server.channels].some(({ serving }) => serving > 0), 'the call');
    await within(iterator.return?.() as Promise<unknown>, 'return()');
    expect(await within(pending, 'next()')).toEqual({ done: true, value: undefined });
    await within(cancelled.promise, 'the handler to be cancelled');
  }
});

test('return() ends the call and settles the pending next() if an interceptor wraps the replies', async () => {
  const wrapping: Interceptor = (next) => async (call) => {
    const replies = (await next(call)) as AsyncIterable<number>;
    return (async function* () {
      for await (const n of replies) yield n * 10;
    })();
  };
  const readingSignal: Interceptor = (next) => (call) =>
    call.signal?.aborted ? Promise.reject(call.signal.reason) : next(call);
  const own = new AbortController();
  const settingSignal: Interceptor = (next) => (call) => next(call.with({ signal: own.signal }));
  for (const interceptors of [
    [wrapping],
    [readingSignal, wrapping],
    [timeout(60_000), wrapping],
    [settingSignal, wrapping],
    [wrapping, settingSignal],
    [wrapping, settingSignal, readingSignal],
  ]) {
    const cancelled = gate();
    const watch = async function* (
      _: void,
      { signal }: { signal: AbortSignal },
    ): AsyncGenerator<number> {
      yield 1;
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      cancelled.open();
    };
    await using server = await serve('memory://', [implement(News, { watch })]);
    await using client = await connect(server.address, { interceptors });
    const iterator = client.stub(News).watch()[Symbol.asyncIterator]();
    expect(await iterator.next()).toEqual({ done: false, value: 10 });
    const pending = iterator.next();
    await within(iterator.return?.() as Promise<unknown>, 'return()');
    expect(await within(pending, 'next()')).toEqual({ done: true, value: undefined });
    await within(cancelled.promise, 'the handler to be cancelled');
    expect(client.statistics().calls).toMatchObject([{ inFlight: 0 }]);
    expect(getEventListeners(own.signal, 'abort')).toEqual([]);
  }
});

test('return() before an interceptor has returned its wrapped replies ends the call', async () => {
  const began = gate();
  const wrapped = gate();
  const wrapping: Interceptor = (next) => async (call) => {
    const replies = (await next(call)) as AsyncIterable<number>;
    began.open();
    await wrapped.promise;
    return (async function* () {
      yield* replies;
    })();
  };
  const cancelled = gate();
  const watch = async function* (
    _: void,
    { signal }: { signal: AbortSignal },
  ): AsyncGenerator<number> {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    cancelled.open();
  };
  await using server = await serve('memory://', [implement(News, { watch })]);
  await using client = await connect(server.address, { interceptors: [wrapping] });
  const iterator = client.stub(News).watch()[Symbol.asyncIterator]();
  const pending = iterator.next();
  await began.promise;
  await until(() => [...server.channels].some(({ serving }) => serving > 0), 'the call');
  await within(iterator.return?.() as Promise<unknown>, 'return()');
  wrapped.open();
  expect(await within(pending, 'next()')).toEqual({ done: true, value: undefined });
  await within(cancelled.promise, 'the handler to be cancelled');
});

test('a call ends if an interceptor of the client fails after its stream has begun', async () => {
  const left = gate();
  async function* watch(): AsyncGenerator<number> {
    for (;;) {
      yield 1;
      await left.promise;
    }
  }
  await using server = await serve('tcp://127.0.0.1:0', [implement(News, { watch })]);
  const outcomes: [unknown, string][] = [
    [new Error('after the call'), 'after the call'],
    [7, 'returned a value that is not async iterable'],
  ];
  for (const [outcome, message] of outcomes) {
    const failing: Interceptor = (next) => async (call) => {
      await next(call);
      if (outcome instanceof Error) throw outcome;
      return outcome;
    };
    await using client = await connect(server.address, { interceptors: [failing] });
    const first = client.stub(News).watch()[Symbol.asyncIterator]().next();
    await expect(first).rejects.toThrow(message);
    await until(() => client.statistics().calls[0]?.inFlight === 0, 'the call has ended');
    await until(() => server.statistics().served[0]?.inFlight === 0, 'its handler has ended');
  }
  left.open();
});
