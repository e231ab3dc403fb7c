/** What handlers and callers see when a server or a client closes. */
import { expect, test, vi } from 'vitest';
import {
  type CallContext,
  connect,
  contract,
  duplex,
  implement,
  RpcError,
  serve,
  serverStream,
  timeout,
  unary,
} from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { gate, Inbox, until, within } from '../fixtures/waiting.js';

const News = contract('News', {
  watch: serverStream<void, number>(),
  talk: duplex<string, string>(),
  ask: unary<void, string>(),
});
noLeaks();

const waitForAbort = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

/** The items of a stream, or its error. */
async function itemsOrError(stream: AsyncIterable<unknown>): Promise<unknown> {
  const items: unknown[] = [];
  try {
    for await (const item of stream) items.push(item);
    return items;
  } catch (error) {
    return error;
  }
}

const otherHandlers = { talk: async function* () {}, ask: () => 'it' };

test('close() settles when endless streams have ended by the draining signal, also with interceptors', async () => {
  for (const interceptors of [[], [timeout(60_000)]]) {
    async function* watch(_: void, { draining }: CallContext) {
      yield 1;
      await waitForAbort(draining);
      yield 2;
    }
    const server = await serve(
      'tcp://127.0.0.1:0',
      [implement(News, { ...otherHandlers, watch })],
      {
        drainTimeout: 600_000,
        interceptors,
      },
    );
    await using client = await connect(server.address);
    const streams = Array.from({ length: 20 }, () => itemsOrError(client.stub(News).watch()));
    await until(
      () => [...server.channels].reduce((sum, { serving }) => sum + serving, 0) === 20,
      'the streams',
    );
    await within(server.close(), 'the server to close');
    expect(await Promise.all(streams)).toEqual(Array(20).fill([1, 2]));
  }
});

test('a handler can fail its call with the reason moving', async () => {
  async function* watch(_: void, { draining }: CallContext) {
    yield 1;
    await waitForAbort(draining);
    throw new RpcError('UNAVAILABLE', 'subscribe again', { reason: 'moving' });
  }
  const server = await serve('tcp://127.0.0.1:0', [implement(News, { ...otherHandlers, watch })], {
    drainTimeout: 600_000,
  });
  await using client = await connect(server.address);
  const stream = itemsOrError(client.stub(News).watch());
  await until(() => [...server.channels].some(({ serving }) => serving > 0), 'the stream');
  await within(server.close(), 'the server to close');
  expect(await stream).toMatchObject({
    code: 'UNAVAILABLE',
    message: 'subscribe again',
    reason: 'moving',
    unsent: false,
  });
});

test('a call that outlasts drainTimeout has the reason moving, and a call of a destroyed server has none', async () => {
  const asked = gate<string>();
  const watch = async function* (_: void, { signal }: CallContext) {
    yield 1;
    await waitForAbort(signal);
  };
  for (const end of ['close', 'destroy'] as const) {
    const server = await serve(
      'tcp://127.0.0.1:0',
      [implement(News, { watch, talk: otherHandlers.talk, ask: () => asked.promise })],
      { drainTimeout: 50 },
    );
    await using client = await connect(server.address, { connections: 1 });
    const stream = itemsOrError(client.stub(News).watch());
    const answer = client
      .stub(News)
      .ask()
      .catch((error: RpcError) => error);
    await until(() => [...server.channels].some(({ serving }) => serving === 2), 'both calls');
    await within(Promise.resolve(server[end]()), 'the server to end');
    const expected = {
      code: 'UNAVAILABLE',
      reason: end === 'close' ? 'moving' : undefined,
      unsent: false,
    };
    expect(await stream).toMatchObject(expected);
    expect(await answer).toMatchObject(expected);
    await server.close();
  }
});

test('the draining signal aborts when close() begins, also if its first access is later', async () => {
  const open = gate();
  const seen: boolean[] = [];
  const contexts: CallContext[] = [];
  const ask = async (_: void, context: CallContext) => {
    contexts.push(context);
    if (contexts.length === 1) {
      seen.push(context.draining.aborted);
      return 'first';
    }
    await open.promise;
    seen.push(context.draining.aborted, (context.with({}) as CallContext).draining.aborted);
    return 'second';
  };
  const server = await serve('tcp://127.0.0.1:0', [
    implement(News, { ...otherHandlers, watch: async function* () {}, ask }),
  ]);
  await using client = await connect(server.address);
  expect(await client.stub(News).ask()).toBe('first');
  const second = client.stub(News).ask();
  await until(() => contexts.length === 2, 'the second call');
  const closing = server.close();
  open.open();
  expect(await second).toBe('second');
  await closing;
  expect(seen).toEqual([false, true, true]);
  // The first call was over before.
  expect(contexts[0]?.draining.aborted).toBe(false);
});

test('the draining signal of a handler of a client aborts when the client closes', async () => {
  const Back = contract('Back', { listen: unary<void, string>() });
  const done = gate<string>();
  const ask = (_: void, { channel }: CallContext) => {
    channel.stub(Back).listen(undefined, { timeout: 60_000 }).then(done.open, done.fail);
    return 'it';
  };
  await using server = await serve('tcp://127.0.0.1:0', [
    implement(News, { ...otherHandlers, watch: async function* () {}, ask }),
  ]);
  const listen = async (_: void, { draining }: CallContext) => {
    await waitForAbort(draining);
    return 'drained';
  };
  const client = await connect(server.address, { services: [implement(Back, { listen })] });
  await client.stub(News).ask();
  await until(() => [...client.channels].some(({ serving }) => serving > 0), 'the call back');
  await within(client.close(), 'the client to close');
  expect(await done.promise).toBe('drained');
});

test.each([1, 2])(
  'a call after the goaway uses another session at once, while the calls of the old ones go on (%d connections)',
  async (connections) => {
    const answer = gate<string>();
    const service = (ask: () => string | Promise<string>) =>
      implement(News, { ...otherHandlers, watch: async function* () {}, ask });
    const old = await serve('memory://restarted', [service(() => answer.promise)]);
    const ready = new Inbox<boolean>('onReady');
    await using client = await connect(old.address, {
      connections,
      reconnect: { initialDelay: 600_000, maxDelay: 600_000 },
      onReady: (isReady) => ready.push(isReady),
    });
    expect(await ready.next()).toBe(true);
    const stub = client.stub(News);
    await until(() => client.channels.size === connections, 'the sessions');
    // A session that ends soon after it was opened delays the next attempt.
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + 2_000);
    try {
      const pending = Array.from({ length: connections }, () => stub.ask());
      await until(
        () => [...old.channels].every(({ serving }) => serving === 1),
        'a call in each session',
      );
      const closing = old.close();
      await using next = await serve(old.address, [service(() => 'next')]);
      expect(await ready.next()).toBe(false);
      expect(await within(stub.ask(), 'the answer of the next server')).toBe('next');
      await until(() => next.channels.size === connections, 'a session for each that is replaced');
      answer.open('old');
      expect(await Promise.all(pending)).toEqual(Array(connections).fill('old'));
      await within(closing, 'the old server to close');
      await until(() => client.channels.size === connections, 'the end of the old sessions');
    } finally {
      vi.restoreAllMocks();
    }
  },
);
