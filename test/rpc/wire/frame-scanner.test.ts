/** Frames in the bytes of other peers: recorded from Go, among other bytes, too large, split. */
import { describe, expect, test } from 'vitest';
import { NoReplyCalls } from '../../../src/rpc/calls/no-reply-calls.js';
import {
  describedSequence,
  type FrameDescription,
} from '../../../src/rpc/wire/frame-description.js';
import { FrameScanner, MAX_KEPT_BODY_BYTES } from '../../../src/rpc/wire/frame-scanner.js';
import {
  CHUNKINGS,
  CONNECTIONS,
  frameBytes,
  jsonRequest,
  RECORDED,
  recordedFrames,
} from '../../fixtures/rpc-frames.js';
import { processorTime } from '../../fixtures/waiting.js';

type Found =
  | { readonly other: string; readonly length: number }
  | (Omit<FrameDescription, 'body'> & { readonly body: string; readonly sequence: string });

function scanner(answers?: NoReplyCalls) {
  const found: Found[] = [];
  const scanned = new FrameScanner(
    {
      onFrame: (frame) =>
        found.push({ ...frame, ...describedSequence(frame), body: frame.body.toString('hex') }),
      onOtherBytes: (first, length) => found.push({ other: first.toString('latin1'), length }),
    },
    answers,
  );
  return { scanned, found };
}

const KINDS: Readonly<Record<number, string>> = {
  1: 'heartbeat',
  2: 'heartbeat answer',
  3: 'request',
  4: 'answer',
};

describe.each(Object.keys(CHUNKINGS))('recorded frames of Go, %s', (chunking) => {
  test.each(CONNECTIONS)('connection %i is described as it was recorded', (connection) => {
    for (const direction of ['client-to-server', 'server-to-client'] as const) {
      const frames = recordedFrames(connection, direction);
      const expected = RECORDED.filter(
        (one) => one.connection === connection && one.direction === direction,
      ).map((one) => ({
        kind: KINDS[one.command],
        sequence: one.sequence,
        codec: one.command < 3 ? undefined : one.codec === 1 ? 'json' : 'protobuf',
        size: one.frameHex.length / 2,
        body: one.command < 3 ? '' : one.bodyHex,
        isInvalid: false,
      }));
      for (const chunks of CHUNKINGS[chunking]?.(frames) ?? []) {
        const { scanned, found } = scanner();
        for (const chunk of chunks) scanned.feed(Buffer.from(chunk));
        expect(found).toMatchObject(expected);
        expect(scanned.isInFrame).toBe(false);
      }
    }
  });
});

describe('a FrameScanner', () => {
  const request = jsonRequest('Greeter', 'hello', 'world');

  test('says what a request has', () => {
    const { scanned, found } = scanner();
    const more = { Timeout: 500, Version: 'v1', Metadata: { tenant: 'north' } };
    scanned.feed(jsonRequest('Greeter', 'hello', 'x', { callType: 'CT_OneWay', more }));
    expect(found).toMatchObject([
      {
        kind: 'request',
        request: { service: 'Greeter', method: 'hello', version: 'v1', timeout: 500 },
        callKind: 'oneway',
        bodyBytes: 3,
      },
    ]);
  });

  test('says the status of an answer, and of the end of replies', () => {
    const { scanned, found } = scanner();
    const head = '{"Error":"gone","Code":5,"Metadata":{"a":"b"}}';
    scanned.feed(frameBytes({ command: 4, code: 1, head }));
    scanned.feed(frameBytes({ command: 6, head: '{"Error":""}' }));
    scanned.feed(frameBytes({ command: 6 }));
    scanned.feed(frameBytes({ command: 4, code: 1, head: 'no JSON, and longer than a success' }));
    expect(found).toMatchObject([
      { status: { code: 'NOT_FOUND', message: 'gone', metadata: { a: 'b' } } },
      { kind: 'end', status: { code: 'OK' } },
      { kind: 'end', status: undefined, isInvalid: false },
      { kind: 'answer', status: undefined, isInvalid: true },
    ]);
  });

  test('reports other bytes, and finds the frame after them', () => {
    const { scanned, found } = scanner();
    scanned.feed(Buffer.concat([Buffer.from('GET / HTTP/1.1\r\n\r\n'), request, request]));
    expect(found).toMatchObject([
      { other: 'GET / HTTP/1.1\r\n\r\n', length: 18 },
      { kind: 'request' },
      { kind: 'request' },
    ]);
  });

  test('finds a frame whose first bytes end a chunk of other bytes', () => {
    for (let at = 1; at < request.length; at++) {
      const { scanned, found } = scanner();
      scanned.feed(Buffer.concat([Buffer.from('garbage'), request.subarray(0, at)]));
      scanned.feed(Buffer.from(request.subarray(at)));
      expect(found).toMatchObject([{ other: 'garbage', length: 7 }, { kind: 'request' }]);
    }
  });

  test('shows the first 32 of many other bytes', () => {
    const { scanned, found } = scanner();
    scanned.feed(Buffer.alloc(100_000, 'x'));
    expect(found).toEqual([{ other: 'x'.repeat(32), length: 100_000 }]);
  });

  test('reports a frame that is not complete at the end', () => {
    const { scanned, found } = scanner();
    scanned.feed(request.subarray(0, 40));
    expect({ found, isInFrame: scanned.isInFrame }).toEqual({ found: [], isInFrame: true });
    expect(scanned.end()).toBe(0);
    expect(found).toMatchObject([{ length: 40 }]);
    expect(scanned.isInFrame).toBe(false);
  });

  test('describes a large frame by its beginning, and skips the rest', () => {
    const body = Buffer.alloc(5_000_000, '1');
    const large = jsonRequest('Greeter', 'hello', undefined, { body });
    const { scanned, found } = scanner();
    for (let at = 0; at < large.length; at += 10_000)
      scanned.feed(Buffer.from(large.subarray(at, at + 10_000)));
    scanned.feed(request);
    expect(found).toMatchObject([
      { request: { method: 'hello' }, size: large.length, bodyBytes: body.length },
      { bodyBytes: 7, isInvalid: false },
    ]);
    const [first] = found as { body: string }[];
    expect(Number(first?.body.length) / 2).toBeGreaterThanOrEqual(MAX_KEPT_BODY_BYTES);
  });

  test('says how many bytes a large frame lacks at the end', () => {
    const body = Buffer.alloc(300_000, '1');
    const large = jsonRequest('Greeter', 'hello', undefined, { body });
    const { scanned, found } = scanner();
    scanned.feed(large.subarray(0, -1_000));
    expect(scanned.end()).toBe(1_000);
    expect(found).toMatchObject([{ kind: 'request' }]);
  });

  test('reads the answer of a Go server to a call without a reply', () => {
    const calls = new NoReplyCalls();
    calls.add(1);
    const { scanned, found } = scanner(calls);
    scanned.feed(Buffer.concat([frameBytes({ command: 4, packageLength: 80 }).subarray(0, 32)]));
    scanned.feed(frameBytes({ command: 2, sequence: 3n }));
    expect(found).toMatchObject([
      { kind: 'answer', size: 32, status: { code: 'OK' } },
      { kind: 'heartbeat answer' },
    ]);
  });

  test('spends little time on bytes that begin a frame again and again', () => {
    const { scanned, found } = scanner();
    const chunk = Buffer.alloc(64 * 1024);
    for (let at = 0; at + 36 <= chunk.length; at += 4) chunk.writeUInt32LE(0x20160905, at);
    const time = processorTime(() => {
      for (let time = 0; time < 100; time++) scanned.feed(Buffer.from(chunk));
    });
    expect(found.length).toBeLessThanOrEqual(200);
    // Without a limit of searches each chunk throws 16,000 errors.
    expect(time).toBeLessThan(10_000);
  });

  test('survives random bytes, and finds the frame that follows', () => {
    let seed = 7;
    for (let round = 0; round < 500; round++) {
      const bytes = Buffer.alloc(round % 200).map(() => {
        seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
        return seed >>> 24;
      });
      const { scanned, found } = scanner();
      scanned.feed(Buffer.from(bytes));
      scanned.feed(Buffer.concat([Buffer.from('....'), request]));
      expect(found.at(-1)).toMatchObject({ kind: 'request', size: request.length });
    }
  });
});
