/**
 * The items of streams: promises among them, items that have no form in the codec, and iterables
 * that misbehave.
 */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import {
  type CodecName,
  clientStream,
  concurrencyLimit,
  contract,
  duplex,
  implement,
  type RpcError,
  serverStream,
  timeout,
  unary,
} from '../../../src/rpc/index.js';
import { collect } from '../../fixtures/calls.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { Kinds as KindsDescriptor } from '../../fixtures/protobuf/kinds_pb.js';
import { freeMemory, rig } from '../../fixtures/rpc.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, turns } from '../../fixtures/waiting.js';

noLeaks();

const Feed = contract('Feed', {
  one: unary<unknown, unknown>(),
  list: serverStream<number[], number>(),
  checked: serverStream({ input: z.array(z.number()), output: z.number() }),
  sum: clientStream<unknown, unknown[]>(),
  chat: duplex<unknown, unknown>(),
});
const Kinds = contract(KindsDescriptor);

async function later<T>(value: T): Promise<T> {
  await turns(2);
  return value;
}

function* generated(values: number[], left: number[]): Generator<Promise<number>> {
  try {
    for (const value of values) yield later(value);
  } finally {
    left.push(values.length);
  }
}

/** What a handler answers to `list`; a test sets it. */
type Items = Iterable<number | Promise<number>> | AsyncIterable<number>;
let answer: (values: number[]) => Items | Promise<Items> = (values) => values;

const feed = implement(Feed, {
  one: (value) => value,
  list: (values) => answer(values),
  checked: (values) => values.map(later),
  sum: (items) => collect(items),
  async *chat(items) {
    yield* items;
  },
});

describe('a promise as an item is awaited', () => {
  test.each(['interceptors', 'no interceptors'])('with %s', async (which) => {
    const interceptors = which === 'interceptors' ? [timeout(60_000)] : [];
    await using pair = await rig({
      address: freeMemory(),
      services: [feed],
      server: { interceptors },
      client: { interceptors },
    });
    const stub = pair.client.stub(Feed);
    const left: number[] = [];
    for (const make of [
      (v: number[]) => v.map(later),
      (v: number[]) => generated(v, left),
      (v: number[]) => new Set(v.map(later)),
    ]) {
      answer = make;
      expect(await collect(stub.list([1, 2, 3]))).toEqual([1, 2, 3]);
      expect(await stub.sum(make([4, 5]))).toEqual([4, 5]);
      expect(await collect(stub.chat(make([6, 7])))).toEqual([6, 7]);
    }
    expect(await collect(stub.checked([8, 9]))).toEqual([8, 9]);
    // An iterator that is written by hand may give promises too.
    let n = 0;
    const byHand = {
      [Symbol.asyncIterator]: () => ({ next: async () => ({ done: ++n > 2, value: later(n) }) }),
    };
    expect(await stub.sum(byHand)).toEqual([1, 2]);
    expect(left).toEqual([3, 2, 2]);
  });

  test('one that rejects ends the stream and lets go of its source', async () => {
    await using pair = await rig({ address: freeMemory(), services: [feed] });
    const stub = pair.client.stub(Feed);
    let left = 0;
    function* failing(): Generator<Promise<number>> {
      try {
        yield later(1);
        yield Promise.reject(new TypeError('no second'));
        yield later(3);
      } finally {
        left++;
      }
    }
    answer = failing;
    const seen: number[] = [];
    const failed = await rejection(
      (async () => {
        for await (const n of stub.list([])) seen.push(n);
      })(),
    );
    expect([seen, failed.code, failed.message, left]).toEqual([[1], 'UNKNOWN', 'no second', 1]);
    expect(await rejection(stub.sum(failing()))).toMatchObject({
      code: 'CANCELLED',
      message: expect.stringContaining('no second'),
    });
    expect(left).toBe(2);
  });
});

describe('an array of promises of which several reject', () => {
  const items = (): Promise<number>[] => [
    later(1),
    ...[2, 3, 4].map((n) => later(n).then(() => Promise.reject(new TypeError(`no ${n}`)))),
  ];

  test.each(['interceptors', 'no interceptors'])(
    'fails its stream with the first: with %s',
    async (which) => {
      const interceptors =
        which === 'interceptors' ? [timeout(60_000), concurrencyLimit({ limit: 10 })] : [];
      await using pair = await rig({
        address: freeMemory(),
        services: [feed],
        server: { interceptors },
        client: { interceptors },
      });
      const stub = pair.client.stub(Feed);
      answer = items;
      expect(await rejection(collect(stub.list([])))).toMatchObject({ message: 'no 2' });
      expect(await rejection(stub.sum(items()))).toMatchObject({
        message: expect.stringContaining('no 2'),
      });
      await turns(10);
    },
  );

  test('does no harm when its caller has left before the handler answers', async () => {
    await using pair = await rig({
      address: freeMemory(),
      services: [feed],
      client: { connections: 1 },
    });
    const stub = pair.client.stub(Feed);
    const late = gate<Promise<number>[]>();
    const begun = gate();
    answer = () => {
      begun.open();
      return late.promise;
    };
    const replies = stub.list([])[Symbol.asyncIterator]();
    const first = replies.next();
    await begun.promise;
    await replies.return?.();
    await first;
    // It is behind the word that the caller has left.
    await stub.one(1);
    late.open(items());
    await turns(10);
  });
});

describe('an item that has no form in the codec fails as an argument does', () => {
  const unwritable: [CodecName, unknown][] = [
    ['json', 5n],
    [
      'json',
      Object.assign([], {
        toJSON: () => {
          throw new TypeError('no');
        },
      }),
    ],
    ['protobuf', { value: 'no number' }],
    ['protobuf', 7],
  ];

  test.each(unwritable)('in %s', async (codec, value) => {
    const kinds = implement(Kinds, {
      double: () => wrongAnswer(),
      note: () => ({}),
      settle: () => ({}),
      count: () => [wrongAnswer()],
      async sum(items) {
        await collect(items);
        return {};
      },
      async *chat() {},
    });
    const wrongAnswer = (): never => value as never;
    const wrongFeed = implement(Feed, {
      one: () => value,
      list: () => [value as never],
      checked: () => [],
      sum: () => [],
      chat: () => [],
    });
    await using pair = await rig({
      address: freeMemory(),
      services: [codec === 'json' ? wrongFeed : kinds],
    });
    const codes = async (...calls: Promise<unknown>[]): Promise<string[]> =>
      Promise.all(calls.map(async (call) => (await rejection<RpcError>(call)).code));
    if (codec === 'json') {
      const stub = pair.client.stub(Feed);
      expect(await codes(stub.one(value), stub.sum([value]), collect(stub.chat([value])))).toEqual(
        new Array(3).fill('INVALID_ARGUMENT'),
      );
      const [one, list] = await codes(stub.one(1), collect(stub.list([])));
      expect(list).toBe(one);
    } else {
      const stub = pair.client.stub(Kinds);
      const given = [value as never];
      expect(await codes(stub.double(value as never), stub.sum(given))).toEqual(
        new Array(2).fill('INVALID_ARGUMENT'),
      );
      const [double, count] = await codes(stub.double({}), collect(stub.count({})));
      expect(count).toBe(double);
    }
  });

  test('and what the iterable throws itself is CANCELLED, with its cause', async () => {
    await using pair = await rig({ address: freeMemory(), services: [feed] });
    const cause = new TypeError('the source failed');
    function* failing(): Generator<number> {
      yield 1;
      throw cause;
    }
    expect(await rejection(pair.client.stub(Feed).sum(failing()))).toMatchObject({
      code: 'CANCELLED',
      cause,
    });
  });
});

describe('an iterable that misbehaves fails its own call', () => {
  const revoked = Proxy.revocable([1], {});
  revoked.revoke();
  test.each<[string, unknown]>([
    ['a revoked proxy', revoked.proxy],
    ['a next() that answers nothing', { [Symbol.iterator]: () => ({ next: () => undefined }) }],
    ['an iterator that is none', { [Symbol.iterator]: () => 5 }],
    [
      'a getter that throws',
      Object.defineProperty([1], 0, {
        get: () => {
          throw new Error('no item');
        },
      }),
    ],
    [
      'an item whose then throws',
      [
        Object.defineProperty({}, 'then', {
          get: () => {
            throw new Error('no then');
          },
        }),
      ],
    ],
    ['an item that is a revoked proxy', [revoked.proxy]],
  ])('%s', async (_, input) => {
    await using pair = await rig({ address: freeMemory(), services: [feed] });
    const stub = pair.client.stub(Feed);
    expect((await rejection(stub.sum(input as never))).name).toBe('RpcError');
    answer = () => input as never;
    expect((await rejection(collect(stub.list([])))).name).toBe('RpcError');
    answer = (values) => values;
    expect(await collect(stub.list([1]))).toEqual([1]);
  });

  test('an asyncIterator that is there and undefined is none', async () => {
    await using pair = await rig({ address: freeMemory(), services: [feed] });
    const input = Object.assign([1, 2], { [Symbol.asyncIterator]: undefined });
    expect(await pair.client.stub(Feed).sum(input as number[])).toEqual([1, 2]);
  });
});
