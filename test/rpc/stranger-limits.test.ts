/**
 * Limits that a peer meets: of streams, of the objects of a message, of calls with one sequence, of
 * log lines.
 */
import { create, type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { protobufCodec } from '../../src/rpc/codecs/protobuf/codec.js';
import { checkObjectCount } from '../../src/rpc/codecs/protobuf/object-counter.js';
import {
  type CodecName,
  clientStream,
  connect,
  contract,
  duplex,
  type Handlers,
  implement,
  type MessageCodec,
  oneway,
  RpcError,
  type RpcServer,
  type RpcServerOptions,
  serve,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import { StreamMemory } from '../../src/rpc/streams/stream-memory.js';
import { StreamReader } from '../../src/rpc/streams/stream-reader.js';
import { parseJson } from '../../src/transport/json-text.js';
import { noLeaks } from '../fixtures/leaks.js';
import { fc } from '../fixtures/property.js';
import { WellKnownSchema } from '../fixtures/protobuf/proto3_pb.js';
import { freeMemory, Log, RawPeer, withCodecs } from '../fixtures/rpc.js';
import { frameBytes, jsonRequest } from '../fixtures/rpc-frames.js';
import { gate, turns, until } from '../fixtures/waiting.js';

noLeaks();

const Feed = contract('Feed', {
  sum: clientStream<string, number>(),
  wait: unary<string, string>(),
  fail: oneway<string>(),
  ask: unary<unknown, string>(),
  all: serverStream<number, unknown>(),
  chat: duplex<string, string>(),
});

interface Rig extends AsyncDisposable {
  readonly server: RpcServer;
  readonly peer: RawPeer;
  readonly log: Log;
  readonly aborted: string[];
  /** Lets the handlers of sum() read. */
  readonly read: () => void;
}

async function rig(options: RpcServerOptions = {}): Promise<Rig> {
  const log = new Log('the server');
  const hold = gate();
  const aborted: string[] = [];
  const service = implement(Feed, {
    async sum(texts) {
      await hold.promise;
      let sum = 0;
      for await (const text of texts) sum += text.length;
      return sum;
    },
    wait: (name, { signal }) =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () => resolve(`${aborted.push(name)}`)),
      ),
    fail(text) {
      throw new Error(text);
    },
    ask: (value) => typeof value,
    *all(count) {
      yield Array.from({ length: count }, () => ({}));
    },
    async *chat(texts) {
      await hold.promise;
      yield* texts;
    },
  });
  const session = { maxQueuedBytes: 2 ** 28, ...options.session };
  const server = await serve(freeMemory(), [service], { logger: log, ...options, session });
  const peer = await RawPeer.connect(server.address, {
    maxQueuedBytes: 2 ** 28,
    maxMessageBytes: 2 ** 28,
  });
  return {
    server,
    peer,
    log,
    aborted,
    read: () => hold.open(),
    async [Symbol.asyncDispose]() {
      hold.open();
      await peer[Symbol.asyncDispose]();
      server.destroy();
      await server.close();
    },
  };
}

const request = (method: string, sequence: bigint, argument?: unknown): Buffer =>
  jsonRequest('Feed', method, argument, { sequence, serviceId: 1 });
const item = (sequence: bigint, value: unknown): Buffer =>
  frameBytes({ command: 5, sequence, serviceId: 1, body: JSON.stringify(value) });
const end = (sequence: bigint): Buffer => frameBytes({ command: 6, sequence, serviceId: 1 });

/** The call of a reader of numbers, without a peer. */
const numberCall = {
  decode: (bytes: Uint8Array, start: number, end: number): number =>
    Number(Buffer.from(bytes.subarray(start, end)).toString()),
  onInvalidItem: RpcError.from,
  sendCredit() {},
  onReturn() {},
};

/** Adds `n` as a message in a frame of `size` bytes. */
function pushNumber(reader: StreamReader<number>, n: number, size: number): void {
  const body = Buffer.from(String(n));
  reader.push(body, 0, body.length, size);
}

/** The answers to calls: the code of each, or 'ok', by sequence. */
async function answers(peer: RawPeer, count: number): Promise<Map<bigint, string>> {
  const isAnswer = ({ command }: { command: number }): boolean => command === 4 || command === 6;
  await until(
    () => peer.frames.all.filter(isAnswer).length >= count,
    `${count} calls are answered`,
    30_000,
  );
  return new Map(
    peer.frames.all
      .filter(isAnswer)
      .map(({ sequence, code, head }) => [sequence, code === 0 ? 'ok' : head.toString()]),
  );
}

describe('the window of a stream', () => {
  test('is not passed in small messages, however large a message may be', async () => {
    await using s = await rig({ streamWindow: 64 * 1024 });
    await s.peer.send(request('sum', 3n));
    const small = item(3n, '');
    const allowed = Math.ceil((64 * 1024) / small.length);
    await s.peer.send(Buffer.concat(Array.from({ length: allowed }, () => small)));
    await turns(5);
    expect(s.peer.frames.all).toEqual([]);
    await s.peer.send(small);
    expect((await answers(s.peer, 1)).get(3n)).toContain('without credit');
  });

  test('may be passed by the last message', async () => {
    await using s = await rig({ streamWindow: 64 * 1024 });
    await s.peer.send(
      request('sum', 3n),
      item(3n, 'x'.repeat(60_000)),
      item(3n, 'x'.repeat(1_000_000)),
      end(3n),
    );
    s.read();
    expect((await answers(s.peer, 1)).get(3n)).toBe('ok');
  });

  test('is whole again with each credit, so that a peer who keeps it is never refused', async () => {
    let credit = 64 * 1024;
    const reader = new StreamReader<number>(256 * 1024, new StreamMemory(2 ** 20), {
      ...numberCall,
      sendCredit(bytes) {
        credit += bytes;
      },
    });
    reader.open();
    const sizes = fc.sample(fc.integer({ min: 36, max: 50_000 }), 3_000);
    let read = 0;
    for (const [n, size] of sizes.entries()) {
      while (credit <= 0) expect(await reader.next()).toEqual({ done: false, value: read++ });
      pushNumber(reader, n, size);
      credit -= size;
    }
  });
});

describe('maxStreams', () => {
  test('is how many streams of a session are under way; the end of one makes room', async () => {
    await using s = await rig({ maxStreams: 3 });
    for (const sequence of [3n, 5n, 7n, 9n]) await s.peer.send(request('sum', sequence));
    expect([...(await answers(s.peer, 1)).keys()]).toEqual([9n]);
    expect((await answers(s.peer, 1)).get(9n)).toContain('maxStreams is 3');
    s.read();
    await s.peer.send(end(3n));
    expect((await answers(s.peer, 2)).get(3n)).toBe('ok');
    await s.peer.send(request('chat', 11n), end(11n));
    expect((await answers(s.peer, 3)).get(11n)).toBe('ok');
  });

  test('is 1,024 by default', async () => {
    await using s = await rig();
    await s.peer.send(
      Buffer.concat(Array.from({ length: 1_030 }, (_, n) => request('chat', BigInt(2 * n + 3)))),
    );
    expect((await answers(s.peer, 6)).size).toBe(6);
    await turns(5);
    expect((await answers(s.peer, 6)).size).toBe(6);
  });
});

describe('maxStreamBytes', () => {
  test('bounds what waits in all streams of a session', async () => {
    await using s = await rig({ maxStreamBytes: 1_000_000 });
    const part = 'x'.repeat(100_000);
    for (let n = 0; n < 12; n++)
      await s.peer.send(
        request('sum', BigInt(2 * n + 3)),
        item(BigInt(2 * n + 3), part),
        end(BigInt(2 * n + 3)),
      );
    const refused = await answers(s.peer, 3);
    expect([...refused.keys()]).toEqual([21n, 23n, 25n]);
    expect(refused.get(21n)).toContain('maxStreamBytes is 1000000');
    s.read();
    expect(
      [...(await answers(s.peer, 12)).values()].filter((answer) => answer === 'ok'),
    ).toHaveLength(9);
    // What is read, and what was dropped, counts no more.
    await s.peer.send(request('sum', 101n), item(101n, 'x'.repeat(900_000)), end(101n));
    expect((await answers(s.peer, 13)).get(101n)).toBe('ok');
  });

  test('counts no more what a call has not read when it is over', async () => {
    const memory = new StreamMemory(10_000);
    for (const finish of ['end, then discard', 'discard', 'return'] as const) {
      const reader = new StreamReader<number>(64 * 1024, memory, numberCall);
      pushNumber(reader, 1, 4_000);
      pushNumber(reader, 2, 4_000);
      expect(() => pushNumber(reader, 3, 4_000)).toThrow(/maxStreamBytes/);
      if (finish === 'end, then discard') reader.end();
      if (finish === 'return') await reader.return();
      else reader.discard(new Error('the call is over') as never);
      expect(memory.bytes).toBe(0);
      if (finish !== 'return') await expect(reader.next()).rejects.toThrow('the call is over');
    }
  });
});

describe('messages that wait', () => {
  test('wait as bytes of their own, and are decoded when they are read', async () => {
    let decoded = 0;
    const memory = new StreamMemory(2 ** 20);
    const reader = new StreamReader<number>(64 * 1024, memory, {
      ...numberCall,
      decode(bytes, start, end) {
        decoded++;
        return numberCall.decode(bytes, start, end);
      },
    });
    const waiting = reader.next();
    pushNumber(reader, 1, 40);
    expect(decoded).toBe(1);
    // Some small enough to share a buffer, some not.
    const numbers = Array.from({ length: 300 }, (_, n) => n * 10 ** (n % 20));
    for (const n of numbers) pushNumber(reader, n, 40 + String(n).length);
    expect(decoded).toBe(1);
    expect(await waiting).toEqual({ done: false, value: 1 });
    for (const n of numbers) expect(await reader.next()).toEqual({ done: false, value: n });
    expect([decoded, memory.bytes]).toEqual([301, 0]);
  });

  test('larger ones wait as bytes of their own too', async () => {
    const texts = [0, 47, 48, 49, 511, 512, 513, 4_095, 4_096, 4_097, 20_000].map((length) =>
      String.fromCharCode(97 + (length % 26)).repeat(length),
    );
    const reader = new StreamReader<string>(2 ** 20, new StreamMemory(2 ** 20), {
      ...numberCall,
      decode: (bytes, start, end) => Buffer.from(bytes.subarray(start, end)).toString(),
    });
    reader.open();
    for (const text of texts) {
      const bytes = Buffer.from(text);
      reader.push(bytes, 0, bytes.length, bytes.length + 36);
      // The buffer of the session is used again.
      bytes.fill(0);
    }
    for (const text of texts) expect((await reader.next()).value).toBe(text);
  });

  test('take about as much memory as is counted', async () => {
    await using s = await rig({ streamWindow: 2 ** 24, maxStreamBytes: 2 ** 24 });
    const before = process.memoryUsage();
    // Decoded it would be 40 times as large.
    const bomb = frameBytes({
      command: 5,
      sequence: 3n,
      serviceId: 1,
      body: `[${'[],'.repeat(10_000)}[]]`,
    });
    await s.peer.send(request('sum', 3n), Buffer.concat(Array.from({ length: 500 }, () => bomb)));
    // The answer to a heartbeat says that all have been received.
    await s.peer.send(frameBytes({ command: 1, sequence: 5n, serviceId: 1 }));
    await until(
      () => s.peer.frames.all.some(({ command }) => command === 2),
      'the heartbeat is answered',
      30_000,
    );
    const { heapUsed } = process.memoryUsage();
    expect(heapUsed - before.heapUsed).toBeLessThan(2 * 2 ** 24);
  });

  describe.each<CodecName>(['json', 'protobuf'])('one that does not parse, over %s', (codec) => {
    const text: MessageCodec = {
      encode: (output, message) => output.text(String(message)),
      decode(bytes, start, end) {
        const decoded = Buffer.from(bytes.subarray(start, end)).toString();
        if (decoded === 'bad') throw new TypeError('it is bad');
        return decoded;
      },
    };
    const Texts = withCodecs(
      contract('Texts', {
        join: clientStream<string, string>(),
        list: serverStream<string, string>(),
      }),
      { json: text, protobuf: text },
      { json: text, protobuf: text },
    );

    async function texts(handlers: Partial<Handlers<NonNullable<(typeof Texts)['specs']>>>) {
      const none = (): never => {
        throw new Error('not called');
      };
      const server = await serve(freeMemory(), [
        implement(Texts, { join: none, list: none, ...handlers }),
      ]);
      const client = await connect(server.address, { connections: 1, reconnect: false });
      return {
        stub: client.stub(Texts, { codec }),
        async [Symbol.asyncDispose]() {
          await client.close();
          await server.close();
        },
      };
    }

    test('fails the call when its handler reads it', async () => {
      const hold = gate();
      const seen: string[] = [];
      let failed: unknown;
      await using s = await texts({
        async join(items) {
          await hold.promise;
          try {
            for await (const item of items) seen.push(item);
          } catch (error) {
            failed = error;
          }
          return 'not sent';
        },
      });
      const call = s.stub.join(['good', 'bad', 'unread']);
      const outcome = expect(call).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: 'a message of Texts.join does not parse: it is bad',
      });
      await turns(20);
      hold.open();
      await outcome;
      await until(() => failed !== undefined, 'the handler has seen it');
      expect(seen).toEqual(['good']);
      expect(failed).toMatchObject({ code: 'INVALID_ARGUMENT' });
    });

    test('fails the call when its caller reads it, and the peer is told', async () => {
      let aborted: unknown;
      await using s = await texts({
        async *list(_, { signal }) {
          yield 'good';
          yield 'bad';
          await new Promise<void>((resolve) =>
            signal.addEventListener('abort', () => resolve(), { once: true }),
          );
          aborted = signal.reason;
        },
      });
      const replies = s.stub.list('all')[Symbol.asyncIterator]();
      expect(await replies.next()).toEqual({ done: false, value: 'good' });
      await turns(20);
      await expect(replies.next()).rejects.toMatchObject({
        code: 'INTERNAL',
        message: 'a reply of Texts.list does not parse: it is bad',
      });
      await expect(replies.next()).rejects.toMatchObject({ code: 'INTERNAL' });
      await until(() => aborted !== undefined, 'the handler is told');
      expect(aborted).toMatchObject({ code: 'CANCELLED' });
    });

    test('fails the reader of a call that has ended', async () => {
      await using s = await texts({ list: () => ['good', 'bad', 'unread'] });
      const replies = s.stub.list('all')[Symbol.asyncIterator]();
      expect(await replies.next()).toEqual({ done: false, value: 'good' });
      await turns(20);
      await expect(replies.next()).rejects.toMatchObject({ code: 'INTERNAL' });
      await expect(replies.next()).rejects.toMatchObject({ code: 'INTERNAL' });
    });
  });
});

test('every call of a lost session is aborted, also those with one sequence', async () => {
  await using s = await rig();
  for (const name of ['a', 'b', 'c']) await s.peer.send(request('wait', 3n, name));
  await s.peer.send(request('wait', 5n, 'd'));
  await until(() => [...s.server.channels][0]?.serving === 4, 'all are under way');
  s.peer.session.destroy();
  await until(() => s.aborted.length === 4, 'all are aborted');
  expect(s.aborted.sort()).toEqual(['a', 'b', 'c', 'd']);
});

test('calls that fail write 100 lines at once to the log, not one each', async () => {
  await using s = await rig();
  const failing = Buffer.concat(
    Array.from({ length: 1_000 }, (_, n) =>
      frameBytes({
        sequence: BigInt(2 * n + 3),
        serviceId: 1,
        head: JSON.stringify({
          Service: 'Feed',
          Method: n % 2 === 0 ? 'fail' : 'isNot',
          CallType: 'CT_OneWay',
        }),
        body: '"x"',
      }),
    ),
  );
  const began = performance.now();
  await s.peer.send(failing, request('ask', 99_999n, 1));
  await answers(s.peer, 1);
  const seconds = (performance.now() - began) / 1_000;
  expect(s.log.warnings.all.length).toBeGreaterThanOrEqual(100);
  expect(s.log.warnings.all.length).toBeLessThanOrEqual(100 + Math.ceil(10 * seconds));
});

describe('maxDecodedObjects', () => {
  const bomb = `[${'[],'.repeat(200_000)}[]]`;

  test('an argument of more objects fails its call, and the session lives on', async () => {
    await using s = await rig();
    const head = JSON.stringify({ Service: 'Feed', Method: 'ask', CallType: 'CT_TwoWay' });
    await s.peer.send(
      frameBytes({ sequence: 3n, serviceId: 1, head, body: bomb }),
      request('ask', 5n, [{}]),
    );
    const all = await answers(s.peer, 2);
    expect(all.get(3n)).toContain(
      'more than 100000 objects would be made of it, which is maxDecodedObjects',
    );
    expect(all.get(5n)).toBe('ok');
  });

  test('a message of a stream with more objects fails its call', async () => {
    await using s = await rig({ maxDecodedObjects: 10 });
    await s.peer.send(request('sum', 3n), item(3n, Array(11).fill([])));
    s.read();
    expect((await answers(s.peer, 1)).get(3n)).toContain('maxDecodedObjects');
  });

  test('is for replies too', async () => {
    await using s = await rig();
    await using client = await connect(s.server.address, {
      connections: 1,
      reconnect: false,
      maxDecodedObjects: 9,
    });
    // An empty object counts as two.
    const replies = client.stub(Feed).all(5)[Symbol.asyncIterator]();
    await expect(replies.next()).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.stringContaining('maxDecodedObjects'),
    });
    expect((await client.stub(Feed).all(4)[Symbol.asyncIterator]().next()).value).toHaveLength(4);
  });

  test('of JSON counts values and names outside of texts', () => {
    const count = (text: string): number => {
      const bytes = Buffer.from(text);
      let limit = 0;
      for (; ; limit++) {
        try {
          parseJson(bytes, 0, bytes.length, limit);
          return limit;
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
        }
      }
    };
    const long = 'x'.repeat(100);
    expect(count(JSON.stringify({ a: [1, 2, 3], b: { c: '[]{}::,,"\\' }, [`:${long}`]: '' }))).toBe(
      11,
    );
    expect(count(JSON.stringify(Array(50).fill(1)))).toBe(50);
  });

  /** A list of empty messages: two bytes each. */
  const files = (count: number): Buffer => Buffer.alloc(2 * count, Buffer.from([0x0a, 0]));
  const decode = (schema: DescMessage, bytes: Buffer, limit?: number): unknown =>
    protobufCodec(schema).decode(bytes, 0, bytes.length, limit);

  test.each<[string, (schema: DescMessage, bytes: Buffer, limit?: number) => unknown]>([
    ['compiled', decode],
    [
      'interpreted',
      (schema, bytes, limit = 100_000) => {
        checkObjectCount(schema, bytes, 0, bytes.length, limit);
        return fromBinary(schema, bytes);
      },
    ],
  ])('of Protobuf counts messages with their lists, %s', (kind, read) => {
    const { members } = FileDescriptorProtoSchema;
    const lists =
      1 + members.filter((member) => member.kind === 'field' && member.fieldKind === 'list').length;
    expect(lists).toBeGreaterThan(5);
    // protobuf-es takes longer, so there an object counts as four, and a field as one.
    const each = kind === 'compiled' ? lists : 4 * lists + 1;
    expect(() => read(FileDescriptorSetSchema, files(10), 10 * each - 1)).toThrow(
      `more than ${10 * each - 1} objects`,
    );
    expect(read(FileDescriptorSetSchema, files(10), 10 * each)).toMatchObject({
      file: { length: 10 },
    });
    const before = process.memoryUsage().heapUsed;
    expect(() => read(FileDescriptorSetSchema, files(2_000_000))).toThrow(
      'more than 100000 objects',
    );
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(50 * 2 ** 20);
  });

  test.each([
    ['compiled', decode],
    [
      'interpreted',
      (schema: DescMessage, bytes: Buffer, limit = 100_000) =>
        checkObjectCount(schema, bytes, 0, bytes.length, limit),
    ],
  ])(
    'counts a Struct each time that its field comes, since it is converted each time, %s',
    (_, read) => {
      const json = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`key ${n}`, n]));
      const once = toBinary(WellKnownSchema, create(WellKnownSchema, { json }));
      // The field again, empty: three bytes at most.
      const again = toBinary(WellKnownSchema, create(WellKnownSchema, { json: {} }));
      expect(() => read(WellKnownSchema, Buffer.from(once))).not.toThrow();
      expect(() =>
        read(WellKnownSchema, Buffer.concat([once, ...Array<Uint8Array>(1_000).fill(again)])),
      ).toThrow('more than 100000 objects');
    },
  );
});
