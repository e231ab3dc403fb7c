/** Items of streams: promises, items that the codec cannot encode, and invalid iterables. */
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
import { freeMemoryAddress, rig } from '../../fixtures/rpc.js';
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

function* generated(values: number[], returned: number[]): Generator<Promise<number>> {
  try {
    for (const value of values) yield later(value);
  } finally {
    returned.push(values.length);
  }
}

/** The handler of `list`. Tests replace it. */
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

describe('a promise among the items', () => {
  test.each(['interceptors', 'no interceptors'])('is awaited with %s', async (which) => {
    const interceptors = which === 'interceptors' ? [timeout(60_000)] : [];
    await using pair = await rig({
      address: freeMemoryAddress(),
      services: [feed],
      server: { interceptors },
      client: { interceptors },
    });
    const stub = pair.client.stub(Feed);
    const returned: number[] = [];
    for (const make of [
      (v: number[]) => v.map(later),
      (v: number[]) => generated(v, returned),
      (v: number[]) => new Set(v.map(later)),
    ]) {
      answer = make;
      expect(await collect(stub.list([1, 2, 3]))).toEqual([1, 2, 3]);
      expect(await stub.sum(make([4, 5]))).toEqual([4, 5]);
      expect(await collect(stub.chat(make([6, 7])))).toEqual([6, 7]);
    }
    expect(await collect(stub.checked([8, 9]))).toEqual([8, 9]);
    // An async iterator may give a promise as its value.
    let n = 0;
    const source = {
      [Symbol.asyncIterator]: () => ({ next: async () => ({ done: ++n > 2, value: later(n) }) }),
    };
    expect(await stub.sum(source)).toEqual([1, 2]);
    expect(returned).toEqual([3, 2, 2]);
  });

  test('ends the stream and calls return() of its source when it rejects', async () => {
    await using pair = await rig({ address: freeMemoryAddress(), services: [feed] });
    const stub = pair.client.stub(Feed);
    let returns = 0;
    function* failing(): Generator<Promise<number>> {
      try {
        yield later(1);
        yield Promise.reject(new TypeError('no second'));
        yield later(3);
      } finally {
        returns++;
      }
    }
    answer = failing;
    const seen: number[] = [];
    const failed = await rejection(
      (async () => {
        for await (const n of stub.list([])) seen.push(n);
      })(),
    );
    expect([seen, failed.code, failed.message, returns]).toEqual([[1], 'UNKNOWN', 'no second', 1]);
    expect(await rejection(stub.sum(failing()))).toMatchObject({
      code: 'CANCELLED',
      message: expect.stringContaining('no second'),
    });
    expect(returns).toBe(2);
  });
});

describe('an array with several promises that reject', () => {
  const items = (): Promise<number>[] => [
    later(1),
    ...[2, 3, 4].map((n) => later(n).then(() => Promise.reject(new TypeError(`no ${n}`)))),
  ];

  test.each(['interceptors', 'no interceptors'])(
    'fails its stream with the first error, with %s',
    async (which) => {
      const interceptors =
        which === 'interceptors' ? [timeout(60_000), concurrencyLimit({ limit: 10 })] : [];
      await using pair = await rig({
        address: freeMemoryAddress(),
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

  test('causes no unhandled rejection when the call is refused', async () => {
    await using pair = await rig({ address: freeMemoryAddress(), services: [feed] });
    const stub = pair.client.stub(Feed);
    const aborted = { signal: AbortSignal.abort() };
    const calls = [
      () => stub.sum(items(), aborted),
      () => collect(stub.chat(items(), aborted)),
      () => stub.sum(items()),
      () => collect(stub.chat(items())),
    ];
    for (const call of calls.slice(0, 2))
      expect(await rejection(call())).toMatchObject({ code: 'CANCELLED' });
    pair.client.destroy();
    for (const call of calls.slice(2))
      expect(await rejection(call())).toMatchObject({ code: 'UNAVAILABLE' });
    await turns(10);
  });

  test('causes no unhandled rejection when the reader has called return() before the handler answers', async () => {
    await using pair = await rig({
      address: freeMemoryAddress(),
      services: [feed],
      client: { connections: 1 },
    });
    const stub = pair.client.stub(Feed);
    const answered = gate<Promise<number>[]>();
    const begun = gate();
    answer = () => {
      begun.open();
      return answered.promise;
    };
    const replies = stub.list([])[Symbol.asyncIterator]();
    const first = replies.next();
    await begun.promise;
    await replies.return?.();
    await first;
    // Its request follows the cancel frame, so the server has read that frame.
    await stub.one(1);
    answered.open(items());
    await turns(10);
  });
});

describe('an item that the codec cannot encode', () => {
  const unencodable: [CodecName, unknown][] = [
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

  test.each(unencodable)('fails as an argument does, in %s: %s', async (codec, value) => {
    const kinds = implement(Kinds, {
      double: () => unencodableAnswer(),
      note: () => ({}),
      settle: () => ({}),
      count: () => [unencodableAnswer()],
      async sum(items) {
        await collect(items);
        return {};
      },
      async *chat() {},
    });
    const unencodableAnswer = (): never => value as never;
    const unencodableFeed = implement(Feed, {
      one: () => value,
      list: () => [value as never],
      checked: () => [],
      sum: () => [],
      chat: () => [],
    });
    await using pair = await rig({
      address: freeMemoryAddress(),
      services: [codec === 'json' ? unencodableFeed : kinds],
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

  test('differs from an error of the iterable, which is CANCELLED with its cause', async () => {
    await using pair = await rig({ address: freeMemoryAddress(), services: [feed] });
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

test.each<[string, () => unknown]>([
  [
    'an async generator',
    async function* () {
      yield 1;
      throw undefined;
    },
  ],
  ['an array', () => [1, Promise.reject()]],
])('%s that fails without a reason cancels its call', async (_, make) => {
  await using pair = await rig({ address: freeMemoryAddress(), services: [feed] });
  const stub = pair.client.stub(Feed);
  const code = 'CANCELLED';
  expect(await rejection(stub.sum(make() as never))).toMatchObject({ code });
  expect(await rejection(collect(stub.chat(make() as never)))).toMatchObject({ code });
  answer = () => make() as never;
  expect((await rejection(collect(stub.list([])))).name).toBe('RpcError');
});

test('an iterator ends with any truthy `done`, as for await ends', async () => {
  await using pair = await rig({ address: freeMemoryAddress(), services: [feed] });
  const stub = pair.client.stub(Feed);
  const make = (): never => {
    let n = 0;
    const next = () => ({ done: ++n > 2 ? 'yes' : 0, value: n });
    return { [Symbol.iterator]: () => ({ next }) } as never;
  };
  expect(await stub.sum(make())).toEqual([1, 2]);
  answer = make;
  expect(await collect(stub.list([]))).toEqual([1, 2]);
});

describe('an invalid iterable', () => {
  const revoked = Proxy.revocable([1], {});
  revoked.revoke();
  test.each<[string, unknown]>([
    ['a revoked proxy', revoked.proxy],
    ['a next() that returns undefined', { [Symbol.iterator]: () => ({ next: () => undefined }) }],
    ['a next() that returns a number', { [Symbol.iterator]: () => ({ next: () => 5 }) }],
    [
      'an async next() that returns a number',
      { [Symbol.asyncIterator]: () => ({ next: async () => 5 }) },
    ],
    ['an iterator that is a number', { [Symbol.iterator]: () => 5 }],
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
    [
      'an async Symbol.asyncIterator that rejects',
      { [Symbol.asyncIterator]: () => Promise.reject(new Error('no iterator')) },
    ],
  ])('fails its call only: %s', async (_, input) => {
    await using pair = await rig({ address: freeMemoryAddress(), services: [feed] });
    const stub = pair.client.stub(Feed);
    expect((await rejection(stub.sum(input as never))).name).toBe('RpcError');
    answer = () => input as never;
    expect((await rejection(collect(stub.list([])))).name).toBe('RpcError');
    answer = (values) => values;
    expect(await collect(stub.list([1]))).toEqual([1]);
  });

  test('does not include one whose Symbol.asyncIterator is undefined', async () => {
    await using pair = await rig({ address: freeMemoryAddress(), services: [feed] });
    const input = Object.assign([1, 2], { [Symbol.asyncIterator]: undefined });
    expect(await pair.client.stub(Feed).sum(input as number[])).toEqual([1, 2]);
  });
});
