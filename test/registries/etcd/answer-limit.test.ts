/** The limits of the answers of etcd, which are checked before they are decoded. */
import { create, toBinary } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import {
  limitAnswers,
  MAX_ANSWER_BYTES,
  MAX_ANSWER_OBJECTS,
  MAX_SMALL_ANSWER_BYTES,
} from '../../../src/registries/etcd/client/answer-limit.js';
import {
  RangeResponseSchema,
  WatchResponseSchema,
} from '../../../src/registries/etcd/proto/rpc_pb.js';
import { reachableBytes } from '../../fixtures/garbage.js';
import { rejection } from '../../fixtures/transports.js';

/** A message with its prefix. `length`: what the prefix says. */
function framed(message: Uint8Array, length = message.length): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, message]);
}

/** What Connect receives of an answer that arrives in these chunks. */
async function received(path: string, chunks: Iterable<Uint8Array>): Promise<Uint8Array[]> {
  async function* body() {
    yield* chunks;
  }
  const none = new Headers();
  const client = limitAnswers(async () => ({
    status: 200,
    header: none,
    trailer: none,
    body: body(),
  }));
  const answer = await client({ url: `http://127.0.0.1:1${path}`, method: 'POST', header: none });
  const messages = [];
  for await (const bytes of answer.body) messages.push(bytes);
  return messages;
}

const RANGE = '/etcdserverpb.KV/Range';
const WATCH = '/etcdserverpb.Watch/Watch';

test('whole messages arrive, in whatever chunks, and the rest of an incomplete one', async () => {
  const events = Array.from({ length: 3 }, () => ({ kv: { key: Buffer.from('k') } }));
  const message = framed(toBinary(WatchResponseSchema, create(WatchResponseSchema, { events })));
  const empty = framed(Buffer.alloc(0));
  const all = Buffer.concat([message, empty, message, message.subarray(0, 7)]);
  for (const size of [1, 3, 7, 50, all.length]) {
    const chunks = [];
    for (let at = 0; at < all.length; at += size) chunks.push(all.subarray(at, at + size));
    const messages = await received(WATCH, chunks);
    expect(messages.map(({ length }) => length)).toEqual([message.length, 5, message.length, 7]);
    expect(Buffer.concat(messages).equals(all)).toBe(true);
  }
});

test('a page with as many entries as etcd is asked for is accepted', async () => {
  const kvs = Array.from({ length: 8_000 }, (_, i) => ({
    key: Buffer.from(`/getty/service/${i}`),
    value: Buffer.from('{}'),
    createRevision: 5n,
    modRevision: 6n,
    version: 7n,
    lease: 8n,
  }));
  const page = framed(toBinary(RangeResponseSchema, create(RangeResponseSchema, { kvs })));
  expect(await received(RANGE, [page])).toHaveLength(1);
});

test.each([
  ['empty entries', RANGE, [0x12, 0]],
  ['empty events', WATCH, [0x5a, 0]],
  ['events of empty entries', WATCH, [0x5a, 2, 0x12, 0]],
])('an answer with too many %s is refused', async (_, path, unit) => {
  const message = Buffer.alloc(unit.length * MAX_ANSWER_OBJECTS, Buffer.from(unit));
  expect(await rejection(received(path, [framed(message)]))).toMatchObject({
    code: Code.ResourceExhausted,
    rawMessage: `an answer has too many fields: more than ${MAX_ANSWER_OBJECTS} objects`,
  });
});

test.each([
  [RANGE, MAX_ANSWER_BYTES],
  [WATCH, MAX_ANSWER_BYTES],
  ['/etcdserverpb.KV/Put', MAX_SMALL_ANSWER_BYTES],
  ['/etcdserverpb.KV/Txn', MAX_SMALL_ANSWER_BYTES],
  ['/etcdserverpb.Lease/LeaseGrant', MAX_SMALL_ANSWER_BYTES],
  ['/etcdserverpb.Auth/Authenticate', MAX_SMALL_ANSWER_BYTES],
])('an answer to %s above %d bytes is refused before its bytes arrive', async (path, limit) => {
  const prefix = framed(Buffer.alloc(0), limit + 1);
  expect(await rejection(received(path, [prefix]))).toMatchObject({
    code: Code.ResourceExhausted,
    rawMessage: expect.stringContaining(`${limit + 1} bytes`),
  });
  expect(await received(path, [framed(Buffer.alloc(0), limit)])).toHaveLength(1);
});

test('an answer in pieces of one byte takes not much more memory than its bytes', async () => {
  const size = 300_000;
  let taken = 0;
  function* pieces() {
    yield framed(Buffer.alloc(0), size);
    const before = reachableBytes();
    for (let i = 0; i < size - 1; i++) yield Buffer.alloc(1);
    taken = reachableBytes() - before;
  }
  await received(RANGE, pieces());
  expect(taken).toBeLessThan(10 * size);
});

test('an answer that does not parse is refused', async () => {
  expect(await rejection(received(RANGE, [framed(Buffer.from([0x12, 9, 0]))]))).toMatchObject({
    code: Code.Internal,
    rawMessage: expect.stringContaining('does not parse'),
  });
});
