import assert from 'node:assert';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, test } from 'vitest';
import {
  auth,
  type CallContext,
  clientStream,
  contract,
  duplex,
  implement,
  noReply,
  oneway,
  RpcError,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import { callHandler, simulate } from '../../src/testing/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { gate } from '../fixtures/waiting.js';

noLeaks();

const Shop = contract('Shop', {
  price: unary<string, number>(),
  date: unary<undefined, Date>(),
  slow: unary<number, string>(),
  log: oneway<string>(),
  remove: noReply<string>(),
  list: serverStream<number, string>(),
  sum: clientStream<number, number>(),
  double: duplex<number, number>(),
  wait: serverStream<string, number>(),
});
const Screen = contract('Screen', { show: unary<string, string>() });
const cause = new TypeError('the shelf is broken');
let lastContext: CallContext;
let logged: string[] = [];
let started = gate();
let ended = gate<string>();

const shop = implement(Shop, {
  price(name, context) {
    lastContext = context;
    context.replyMetadata.currency = 'EUR';
    if (name === 'broken') throw cause;
    if (name === 'unknown')
      throw new RpcError('NOT_FOUND', 'no such article', { metadata: { name } });
    return name.length;
  },
  date: () => new Date(0),
  async slow(_, context) {
    started.open();
    await new Promise((resolve) => context.signal.addEventListener('abort', resolve));
    ended.open((context.signal.reason as RpcError).code);
    return 'late';
  },
  async log(text) {
    await Promise.resolve();
    if (text === 'broken') throw cause;
    logged.push(text);
  },
  remove: (name) => {
    if (name === 'broken') throw cause;
    return 'ignored';
  },
  async *list(count, context) {
    context.replyMetadata.last = 'page';
    for (let at = 1; at <= count; at++) {
      if (at === 4) throw cause;
      yield `article ${at}`;
    }
  },
  async sum(numbers) {
    let sum = 0;
    for await (const number of numbers) sum += number;
    return sum;
  },
  async *double(numbers) {
    for await (const number of numbers) yield number * 2;
  },
  async *wait(_, context) {
    try {
      yield 1;
      yield 2;
      await new Promise((resolve) => context.signal.addEventListener('abort', resolve));
    } finally {
      ended.open('closed');
    }
  },
});

describe('callHandler()', () => {
  test('returns the reply and its metadata', async () => {
    expect(await callHandler(shop, 'price', 'tea')).toEqual({
      reply: 3,
      metadata: { currency: 'EUR' },
    });
  });

  test('returns what the caller gets after encoding', async () => {
    const { reply, metadata } = await callHandler(shop, 'date', undefined);
    expect(reply).toBe('1970-01-01T00:00:00.000Z');
    expect(metadata).toEqual({});
  });

  test('returns metadata as an ordinary object', async () => {
    const { metadata } = await callHandler(shop, 'price', 'tea');
    assert.deepStrictEqual(metadata, { currency: 'EUR' });
    assert.deepStrictEqual((await callHandler(shop, 'date', undefined)).metadata, {});
  });

  test('gives the handler its metadata, identity and deadline', async () => {
    const before = performance.now();
    await callHandler(shop, 'price', 'tea', {
      metadata: { shop: 'north' },
      identity: { subject: 'Ann', claims: { admin: true } },
      timeout: 60_000,
    });
    expect(lastContext.metadata.shop).toBe('north');
    expect(lastContext.identity).toEqual({ subject: 'Ann', claims: { admin: true } });
    expect(lastContext.timeout).toBe(60_000);
    expect(lastContext.deadline).toBeGreaterThanOrEqual(before + 60_000);
  });

  test('rejects with the RpcError of the caller, and with what was thrown as its cause', async () => {
    await expect(callHandler(shop, 'price', 'unknown')).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'no such article',
      metadata: { name: 'unknown' },
    });
    const error = await callHandler(shop, 'price', 'broken').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RpcError);
    expect(error).toMatchObject({ code: 'UNKNOWN', message: cause.message });
    expect((error as Error).cause).toBe(cause);
  });

  test('settles a oneway call with its handler, and rejects with its error', async () => {
    logged = [];
    expect(await callHandler(shop, 'log', 'sold')).toEqual({ reply: undefined, metadata: {} });
    expect(logged).toEqual(['sold']);
    await expect(callHandler(shop, 'log', 'broken')).rejects.toMatchObject({
      message: cause.message,
    });
  });

  test('calls a method without a reply', async () => {
    expect(await callHandler(shop, 'remove', 'tea')).toEqual({ reply: undefined, metadata: {} });
    await expect(callHandler(shop, 'remove', 'broken')).rejects.toMatchObject({ cause });
  });

  test('calls a method with a stream of replies', async () => {
    const replies = callHandler(shop, 'list', 2);
    expect(replies.metadata).toEqual({});
    expect(await replies.all()).toEqual(['article 1', 'article 2']);
    expect(replies.metadata).toEqual({ last: 'page' });
  });

  test('rejects with the error that ends a stream', async () => {
    await expect(callHandler(shop, 'list', 5).all()).rejects.toMatchObject({
      code: 'UNKNOWN',
      cause,
    });
  });

  test('closes the stream of the handler when the iteration ends early', async () => {
    ended = gate();
    for await (const number of callHandler(shop, 'wait', 'for ever')) if (number === 2) break;
    expect(await ended.promise).toBe('closed');
  });

  test('begins a call with a stream of replies when it is read', () => {
    callHandler(shop, 'list', 2);
  });

  test('calls a method with a stream of arguments', async () => {
    expect((await callHandler(shop, 'sum', [1, Promise.resolve(2), 3])).reply).toBe(6);
    async function* numbers(): AsyncGenerator<number> {
      yield 4;
      yield 5;
    }
    expect((await callHandler(shop, 'sum', numbers())).reply).toBe(9);
  });

  test('calls a method with streams in both directions', async () => {
    expect(await callHandler(shop, 'double', [1, 2, 3]).all()).toEqual([2, 4, 6]);
  });

  test('rejects at the deadline, and aborts the signal of the handler', async () => {
    ended = gate();
    await expect(callHandler(shop, 'slow', 1, { timeout: 20 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
    expect(['DEADLINE_EXCEEDED', 'CANCELLED']).toContain(await ended.promise);
  });

  test('rejects when the signal aborts, and aborts the signal of the handler', async () => {
    started = gate();
    ended = gate();
    const abort = new AbortController();
    const call = callHandler(shop, 'slow', 1, { signal: abort.signal });
    call.catch(() => {});
    await started.promise;
    abort.abort();
    await expect(call).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(await ended.promise).toBe('CANCELLED');
  });

  test('runs the interceptors around the handler, the first one outermost', async () => {
    const seen: string[] = [];
    const { reply } = await callHandler(shop, 'price', 'tea', {
      identity: { subject: 'Ann' },
      interceptors: [
        (next) => async (call) => {
          seen.push(`before ${(call as CallContext).identity?.subject}`);
          const answer = await next(call.with({ input: 'coffee' }));
          seen.push('after');
          return answer;
        },
        (next) => (call) => {
          seen.push(String(call.input));
          return next(call);
        },
      ],
    });
    expect(reply).toBe(6);
    expect(seen).toEqual(['before Ann', 'coffee', 'after']);
  });

  test('rejects with the error of an interceptor', async () => {
    const authenticate = (): never => {
      throw cause;
    };
    const error = callHandler(shop, 'price', 'tea', { interceptors: [auth({ authenticate })] });
    await expect(error).rejects.toMatchObject({ code: 'UNAUTHENTICATED', cause });
  });

  test('the handler can call the services of the caller', async () => {
    const service = implement(contract('Remote', { ask: unary<string, string>() }), {
      ask: (question, { channel }) => channel.stub(Screen).show(question),
    });
    const screen = implement(Screen, { show: (text) => `shown: ${text}` });
    const { reply } = await callHandler(service, 'ask', 'hello', { services: [screen] });
    expect(reply).toBe('shown: hello');
  });

  test('the handler runs in the async context of the test', async () => {
    const store = new AsyncLocalStorage<string>();
    const service = implement(contract('Context', { read: unary<undefined, string>() }), {
      read: () => store.getStore() ?? 'none',
    });
    await store.run('of the test', async () => {
      expect((await callHandler(service, 'read', undefined)).reply).toBe('of the test');
    });
  });

  test('refuses what is no service, an unknown method and an invalid option', async () => {
    const badOption = (message: RegExp): object =>
      expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringMatching(message) });
    expect(() => callHandler({} as typeof shop, 'price', 'tea')).toThrow(badOption(/^service: /));
    expect(() => callHandler(shop, 'cost' as 'price', 'tea')).toThrow(
      badOption(/^method: got "cost", expected a method of Shop: price, date/),
    );
    expect(() => callHandler(shop, 'price', 'tea', { interceptors: 1 as never })).toThrow(
      badOption(/^interceptors: /),
    );
    await expect(callHandler(shop, 'price', 'tea', { timeout: 0 })).rejects.toMatchObject(
      badOption(/^timeout: got 0/),
    );
  });
});

test('the types are those of a stub', () => {
  // Not called: the compiler checks it.
  const typed = async (): Promise<void> => {
    const price: number = (await callHandler(shop, 'price', 'tea')).reply;
    const articles: string[] = await callHandler(shop, 'list', price).all();
    // @ts-expect-error the argument is a string
    await callHandler(shop, 'price', 1);
    // @ts-expect-error there is no such method
    await callHandler(shop, 'cost', articles);
  };
  expect(typed).toBeTypeOf('function');
});

test('waits for a handler that takes longer than the idle timeout of a server', async () => {
  const Long = contract('Long', { wait: unary<number, string>() });
  await simulate({}, async ({ clock }) => {
    const service = implement(Long, { wait: (ms) => clock.sleep(ms).then(() => 'done') });
    const { reply } = await callHandler(service, 'wait', 600_000, { timeout: 3_000_000 });
    expect(reply).toBe('done');
  });
});
