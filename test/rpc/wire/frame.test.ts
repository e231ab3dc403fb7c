/** readFrame() and beginFrame(): valid frames, cut anywhere, and invalid ones. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { beginFrame, Frame, MAGIC, readFrame } from '../../../src/rpc/wire/frame.js';
import { ByteReader } from '../../../src/transport/buffers/byte-reader.js';
import { ByteWriter } from '../../../src/transport/buffers/byte-writer.js';
import { type Draft, frameBytes } from '../../fixtures/rpc-frames.js';
import { thrown } from '../../fixtures/transports.js';

/** The most bytes of a frame. */
const MAX_FRAME_BYTES = 1024 * 1024;
const join = (low: number, high: number): bigint => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);

/** Returns the frames of `chunks`, each with the index of the chunk that completed it. */
function readChunks(chunks: readonly Buffer[]): { frame: Draft; chunk: number }[] {
  const input = new ByteReader();
  const frame = new Frame();
  const found: { frame: Draft; chunk: number }[] = [];
  for (const [chunk, bytes] of chunks.entries()) {
    input.feed(Buffer.from(bytes));
    while (input.length > 0 && readFrame(input, frame, MAX_FRAME_BYTES))
      found.push({ chunk, frame: fieldsOf(frame) });
  }
  expect(input.length).toBe(0);
  return found;
}

function fieldsOf(frame: Frame): Draft {
  const { command, serviceId, code, codec } = frame;
  return {
    command,
    serviceId,
    sequence: join(frame.sequenceLow, frame.sequenceHigh),
    logId: BigInt.asIntN(64, join(frame.logIdLow, frame.logIdHigh)),
    code,
    codec,
    head: Buffer.from(frame.bytes.subarray(frame.headerStart, frame.headerEnd)),
    body: Buffer.from(frame.bytes.subarray(frame.bodyStart, frame.bodyEnd)),
  };
}

const bytes = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const int16 = fc.integer({ min: -0x8000, max: 0x7fff });
const anyFrame = fc.record({
  command: fc.constantFrom(3, 4),
  serviceId: int16,
  sequence: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  logId: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  code: int16,
  codec: fc.constantFrom(1, 2),
  head: bytes(60),
  body: bytes(120),
});

describe('readFrame()', () => {
  test('reads every field of a written frame, wherever the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame, { minLength: 1, maxLength: 5 }),
        fc.array(fc.nat({ max: 1000 }), { maxLength: 10 }),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.map(frameBytes));
          const places = [...new Set(cuts.map((cut) => cut % stream.length))].sort((a, b) => a - b);
          const chunks = [...places, stream.length].map((place, index) =>
            stream.subarray(index === 0 ? 0 : places[index - 1], place),
          );
          expect(
            readChunks(chunks.filter(({ length }) => length > 0)).map(({ frame }) => frame),
          ).toEqual(frames);
        },
      ),
      { seed: 1, numRuns: 300 },
    );
  });

  test('reads a frame with its last byte and not before', () => {
    const frame = {
      command: 3,
      serviceId: 1,
      sequence: 5n,
      logId: -1n,
      code: 0,
      codec: 2,
      head: Buffer.from('head'),
      body: Buffer.from('body'),
    };
    const whole = frameBytes(frame);
    for (let at = 1; at < whole.length; at++)
      expect(readChunks([whole.subarray(0, at), whole.subarray(at)])).toEqual([
        { frame, chunk: 1 },
      ]);
    expect(readChunks([...whole].map((byte) => Buffer.from([byte])))).toEqual([
      { frame, chunk: whole.length - 1 },
    ]);
  });

  test('reads a body over 65,535 bytes by packageLength; the uint16 length has the low 16 bits', () => {
    for (const size of [65_534, 65_535, 65_536, 65_537, 131_072, 200_000]) {
      const body = Buffer.alloc(size, size & 0xff);
      const [found] = readChunks([frameBytes({ head: 'h', body, bodyLength: size & 0xffff })]);
      expect(body.equals(found?.frame.body as Buffer)).toBe(true);
    }
  });

  test.each<[string, Draft, string]>([
    ['a wrong magic', { magic: 0x20160906 }, 'BAD_FRAME'],
    ['command 0', { command: 0 }, 'BAD_FRAME'],
    ['command 10', { command: 10 }, 'BAD_FRAME'],
    ['command -1', { command: -1 }, 'BAD_FRAME'],
    ['codec 0 in a request', { codec: 0 }, 'BAD_FRAME'],
    ['codec 3 in a response', { command: 4, codec: 3 }, 'BAD_FRAME'],
    ['a negative length', { packageLength: -1 }, 'BAD_FRAME'],
    ['the least length', { packageLength: -(2 ** 31) }, 'BAD_FRAME'],
    ['a negative length of a heartbeat', { command: 1, packageLength: -1 }, 'BAD_FRAME'],
    ['a length beyond the limit', { packageLength: MAX_FRAME_BYTES - 31 }, 'MESSAGE_TOO_LARGE'],
    ['the greatest length', { packageLength: 2 ** 31 - 1 }, 'MESSAGE_TOO_LARGE'],
    [
      'the greatest length of a heartbeat',
      { command: 1, packageLength: 2 ** 31 - 1 },
      'MESSAGE_TOO_LARGE',
    ],
    ...[0, 1, 2, 3].map((packageLength): [string, Draft, string] => [
      `a request of ${packageLength} bytes`,
      { packageLength },
      'BAD_FRAME',
    ]),
    ...[1, 2, 3].map((packageLength): [string, Draft, string] => [
      `a response of ${packageLength} bytes`,
      { command: 4, packageLength },
      'BAD_FRAME',
    ]),
    ['a header longer than the frame', { head: 'abc', headLength: 4 }, 'BAD_FRAME'],
    ['the longest header', { head: 'abc', headLength: 0xffff }, 'BAD_FRAME'],
    ['a body shorter than its length', { body: 'abc', bodyLength: 4 }, 'BAD_FRAME'],
    ['a body longer than its length', { body: 'abc', bodyLength: 2 }, 'BAD_FRAME'],
  ])('refuses %s', (_, draft, code) => {
    const input = new ByteReader();
    input.feed(frameBytes(draft));
    expect(thrown(() => readFrame(input, new Frame(), MAX_FRAME_BYTES)).code).toBe(code);
  });

  test('refuses a forbidden length with the fixed header, before it waits or allocates', () => {
    for (const packageLength of [-1, 2 ** 31 - 1]) {
      const input = new ByteReader();
      input.feed(frameBytes({ packageLength }).subarray(0, 32));
      expect(() => readFrame(input, new Frame(), MAX_FRAME_BYTES)).toThrow();
    }
  });

  test('refuses a wrong magic with its four bytes', () => {
    const input = new ByteReader();
    input.feed(Buffer.from('GET '));
    expect(thrown(() => readFrame(input, new Frame(), MAX_FRAME_BYTES)).code).toBe('BAD_FRAME');
  });

  test('reads a response without sections, which a Go server sends for a call without reply', () => {
    expect(readChunks([frameBytes({ command: 4, packageLength: 0 }).subarray(0, 32)])).toHaveLength(
      1,
    );
  });

  test('reads a frame of exactly the most bytes', () => {
    const largest = frameBytes({ body: Buffer.alloc(MAX_FRAME_BYTES - 36) });
    const input = new ByteReader();
    input.feed(largest);
    expect(readFrame(input, new Frame(), MAX_FRAME_BYTES)).toBe(true);
  });
});

test('beginFrame() writes a frame that readFrame() reads', () => {
  const output = new ByteWriter();
  beginFrame(output, 1, 0, 1, {
    serviceId: -2,
    sequenceLow: 0xffff_ffff,
    sequenceHigh: 0x8000_0000,
    logIdLow: 1,
    logIdHigh: 0xffff_fffe,
  });
  expect(output.length).toBe(32);
  expect(output.view.getUint32(0, true)).toBe(MAGIC);
  expect(readChunks([output.bytes.subarray(0, 32)])[0]?.frame).toMatchObject({
    command: 1,
    serviceId: -2,
    sequence: 0x8000_0000_ffff_ffffn,
    logId: -0x1_ffff_ffffn,
  });
});
