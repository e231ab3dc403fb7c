import assert from 'node:assert';
import { describe, expect, test, vi } from 'vitest';
import { TestService } from '../../demo/test_service_pb.js';
import {
  clientStream,
  contract,
  duplex,
  oneway,
  RpcError,
  type StubOf,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import { mockStub } from '../../src/testing/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { until } from '../fixtures/waiting.js';

noLeaks();

const Shop = contract('Shop', {
  price: unary<string, number>({ timeout: 700 }),
  tags: unary<string[], string>(),
  log: oneway<string>(),
  list: serverStream<number, string>(),
  sum: clientStream<number, number>(),
  double: duplex<number, number>(),
});

/** Code under test: it takes a stub. */
const priceOf = (shop: StubOf<typeof Shop>, name: string): Promise<number> =>
  shop.price(name, { metadata: { user: 'Ann' } });
const never = new Promise<never>(() => {});

async function read<T>(replies: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const reply of replies) all.push(reply);
  return all;
}

describe('mockStub()', () => {
  test('answers with its handlers and records its calls', async () => {
    const { stub, calls, inputsOf } = mockStub(Shop, {
      price: (name) => name.length,
      tags: async (tags) => tags.join(),
    });
    expect(await priceOf(stub, 'tea')).toBe(3);
    expect(await stub.tags(['a', 'b'])).toBe('a,b');
    expect(calls).toEqual([
      { method: 'price', input: 'tea', metadata: { user: 'Ann' }, timeout: 700, signal: undefined },
      { method: 'tags', input: ['a', 'b'], metadata: {}, timeout: 5_000, signal: undefined },
    ]);
    expect(inputsOf('tags')).toEqual([['a', 'b']]);
  });

  test('records metadata as ordinary objects', async () => {
    const { stub, calls } = mockStub(Shop, { price: () => 1 });
    await priceOf(stub, 'tea');
    await stub.price('milk');
    assert.deepStrictEqual(
      calls.map(({ metadata }) => metadata),
      [{ user: 'Ann' }, {}],
    );
  });

  test('rejects a oneway call with the error of its handler', async () => {
    const { stub } = mockStub(Shop, { log: () => Promise.reject(new Error('oops')) });
    await expect(stub.log('sold')).rejects.toMatchObject({ code: 'UNKNOWN', message: 'oops' });
  });

  test('gives the inputs of one method, and removes the recorded calls', async () => {
    const shop = mockStub(Shop, { price: () => 1, log() {} });
    await shop.stub.price('tea');
    await shop.stub.log('sold');
    await shop.stub.price('milk');
    const names: string[] = shop.inputsOf('price');
    expect(names).toEqual(['tea', 'milk']);
    shop.clear();
    expect(shop.calls).toEqual([]);
  });

  test('fails with UNIMPLEMENTED without a handler, and records the call', async () => {
    const { stub, calls } = mockStub(Shop);
    await expect(stub.price('tea')).rejects.toMatchObject({
      code: 'UNIMPLEMENTED',
      message: 'the mock of Shop has no handler for price',
    });
    await expect(read(stub.list(1))).rejects.toMatchObject({ code: 'UNIMPLEMENTED' });
    expect(calls.map(({ method }) => method)).toEqual(['price', 'list']);
  });

  test('passes RpcErrors, and makes UNKNOWN of other errors', async () => {
    const cause = new TypeError('broken');
    const { stub } = mockStub(Shop, {
      price() {
        throw new RpcError('NOT_FOUND', 'no such article');
      },
      tags: () => Promise.reject(cause),
    });
    await expect(stub.price('tea')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(stub.tags([])).rejects.toMatchObject({
      code: 'UNKNOWN',
      message: 'broken',
      cause,
    });
  });

  test('gives its handlers the context of the call, and the caller the reply metadata', async () => {
    const { signal } = new AbortController();
    const { stub } = mockStub(Shop, {
      price(_, context) {
        expect(context).toMatchObject({ metadata: { user: 'Ann' }, timeout: 10, signal });
        context.replyMetadata.currency = 'EUR';
        return 1;
      },
      async *list(_, context) {
        yield 'a';
        context.replyMetadata.last = 'page';
      },
    });
    let given: unknown;
    const onMetadata = (metadata: unknown): void => {
      given = metadata;
    };
    await stub.price('tea', { metadata: { user: 'Ann' }, timeout: 10, signal, onMetadata });
    expect(given).toEqual({ currency: 'EUR' });
    await read(stub.list(1, { onMetadata }));
    expect(given).toEqual({ last: 'page' });
  });

  test('fails at the timeout and at the signal of a call', async () => {
    const { stub } = mockStub(Shop, {
      price: () => never,
      async *list() {
        yield 'a';
        yield never;
      },
    });
    await expect(stub.price('tea', { timeout: 1 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: 'the mock of Shop.price did not answer within 1 ms',
    });
    await expect(read(stub.list(1, { timeout: 1 }))).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
    const abort = new AbortController();
    const call = stub.price('tea', { signal: abort.signal });
    abort.abort();
    await expect(call).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  test('warns of an onMetadata that fails, as a real stub', async () => {
    const { stub } = mockStub(Shop, {
      price(_, context) {
        context.replyMetadata.currency = 'EUR';
        return 1;
      },
    });
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const failures = [
      (): never => {
        throw new TypeError('not mine');
      },
      () => Promise.reject(new TypeError('not mine')),
    ];
    try {
      for (const onMetadata of failures)
        await expect(stub.price('tea', { onMetadata })).resolves.toBe(1);
      await until(() => warn.mock.calls.length === 2, 'two warnings are emitted');
    } finally {
      warn.mockRestore();
    }
  });

  test('ends a loop at once whose iterator does not end', async () => {
    const list = (): AsyncIterable<string> => ({
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: false, value: 'a' }),
        return: () => never,
      }),
    });
    const { stub } = mockStub(Shop, { list });
    for await (const item of stub.list(1)) {
      expect(item).toBe('a');
      break;
    }
  });

  test('fails with RpcErrors for handlers, metadata and iterators that throw', async () => {
    const fail = (): never => {
      throw new TypeError('not mine');
    };
    const handlers = Object.defineProperty({}, 'price', { enumerable: true, get: fail });
    const refused = { name: 'RpcError', code: 'UNKNOWN', message: 'not mine' };
    await expect(mockStub(Shop, handlers).stub.price('tea')).rejects.toMatchObject(refused);
    const { stub } = mockStub(Shop, {
      price(_, context) {
        Object.defineProperty(context.replyMetadata, 'x', { enumerable: true, get: fail });
        return 1;
      },
      list: () => ({ [Symbol.asyncIterator]: fail }),
    });
    await expect(stub.price('tea')).rejects.toMatchObject(refused);
    await expect(read(stub.list(1))).rejects.toMatchObject(refused);
  });

  test('accepts a callback, and checks options, as a real stub', async () => {
    const { stub } = mockStub(Shop, { price: () => 7 });
    const outcome = await new Promise((resolve) =>
      stub.price('tea', (error, reply) => resolve([error, reply])),
    );
    expect(outcome).toEqual([null, 7]);
    await expect(stub.price('tea', { timeOut: 1 } as object)).rejects.toMatchObject({
      code: 'BAD_OPTION',
    });
  });

  test('streams replies, and ends its generator when the reader stops', async () => {
    let hasEnded = false;
    const { stub, calls } = mockStub(Shop, {
      async *list(count) {
        try {
          for (let at = 1; at <= count; at++) yield `article ${at}`;
        } finally {
          hasEnded = true;
        }
      },
    });
    const replies = stub.list(2);
    expect(calls).toEqual([]);
    expect(await read(replies)).toEqual(['article 1', 'article 2']);
    hasEnded = false;
    for await (const _ of stub.list(100)) break;
    expect(hasEnded).toBe(true);
    const aborted = calls.at(-1)?.signal?.aborted;
    expect(aborted).toBe(true);
  });

  test('answers a stream with an array', async () => {
    const { stub } = mockStub(Shop, { list: () => ['a', Promise.resolve('b')] });
    expect(await read(stub.list(1))).toEqual(['a', 'b']);
  });

  test('records the messages of a stream of arguments that were read', async () => {
    const { stub, inputsOf } = mockStub(Shop, {
      async sum(numbers) {
        let sum = 0;
        for await (const number of numbers) {
          sum += number;
          if (sum > 2) break;
        }
        return sum;
      },
      async *double(numbers) {
        for await (const number of numbers) yield number * 2;
      },
    });
    expect(await stub.sum([1, Promise.resolve(2), 3])).toBe(3);
    expect(await read(stub.double([5, 6]))).toEqual([10, 12]);
    expect(inputsOf('sum')).toEqual([[1, 2]]);
    expect(inputsOf('double')).toEqual([[5, 6]]);
  });

  test('a handler can be replaced, and uses the others through this', async () => {
    const handlers = { price: () => 1 };
    const { stub } = mockStub(Shop, handlers);
    expect(await stub.price('tea')).toBe(1);
    handlers.price = () => 2;
    expect(await stub.price('tea')).toBe(2);
  });

  test('mocks a Protobuf service by the local names of its methods', async () => {
    const service = contract(TestService);
    const [name] = [...service.methods.keys()] as ['test'];
    const { stub, calls } = mockStub(service, { [name]: () => ({ a: 1 }) as never });
    await (stub[name] as (input: unknown) => Promise<unknown>)({});
    expect(calls[0]?.method).toBe(name);
  });

  test('refuses handlers that are none, of unknown methods, and what is no contract', () => {
    const badOption = (message: RegExp): object =>
      expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringMatching(message) });
    expect(() => mockStub(Shop, 1 as never)).toThrow(badOption(/^handlers: got 1/));
    expect(() => mockStub(Shop, { cost: () => 1 } as never)).toThrow(
      badOption(/^handlers: got "cost", expected methods of Shop: price, tags/),
    );
    expect(() => mockStub({} as never)).toThrow(badOption(/^contract: /));
  });
});

test('the types are those of the contract', () => {
  const typed = (): void => {
    const { calls } = mockStub(Shop, {
      // @ts-expect-error the reply is a number
      price: () => 'expensive',
      sum: async (numbers) => {
        for await (const number of numbers) number.toFixed();
        return 1;
      },
    });
    for (const call of calls) {
      if (call.method === 'price') call.input.toUpperCase();
      if (call.method === 'sum') call.input[0]?.toFixed();
    }
  };
  expect(typed).toBeTypeOf('function');
});
