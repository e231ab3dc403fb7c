/** The memory of a message in fragments that does not end. */
import { describe, expect, it } from 'vitest';
import { ByteWriter } from '../../../../src/transport/index.js';
import type { FrameError } from '../../../../src/transport/websocket/frames/frame-error.js';
import { OPCODE } from '../../../../src/transport/websocket/frames/frame-header.js';
import {
  FrameParser,
  type FrameRules,
} from '../../../../src/transport/websocket/frames/frame-parser.js';
import { collectGarbage } from '../../../fixtures/garbage.js';
import { thrown } from '../../../fixtures/transports.js';
import { FROM_SERVER, hex, nextFrame, parse, TOO_LARGE } from './parsed-events.js';
import { writeFrame } from './write-frame.js';

const MIB = 1024 * 1024;
const LIMIT = 4 * MIB;
const CHUNK = 64 * 1024;

/** A fragment that is not the last one. */
function fragment(isFirst: boolean, size: number): Buffer {
  const output = new ByteWriter(size + 16);
  writeFrame(output, Buffer.alloc(size), isFirst ? OPCODE.binary : OPCODE.continuation, false);
  return output.written;
}

/** A function, so that no variable of a test keeps the single fragments in memory. */
function fragments(sizes: readonly number[]): Buffer {
  return Buffer.concat(sizes.map((size, i) => fragment(i === 0, size)));
}

function usedBytes(): number {
  collectGarbage();
  // The first collection frees some memory in the background, and the second one waits for it.
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

it.each([
  ['one of nearly maxMessageBytes', [LIMIT - 1_000]],
  ['two of half', [LIMIT / 2, LIMIT / 2 - 1_000]],
  ['one of three quarters and one of the rest', [LIMIT * 0.75, LIMIT * 0.25]],
  ['64 KiB each', Array<number>(63).fill(64 * 1024)],
  ['1 KiB each', Array<number>(4_000).fill(1024)],
  ['one byte each', Array<number>(500_000).fill(1)],
  ['one byte and no byte in turn', Array.from({ length: 500_000 }, (_, i) => i & 1)],
])('takes at most twice maxMessageBytes for fragments: %s', (_name, sizes) => {
  const wire = fragments(sizes);
  const parser = new FrameParser({ isMasked: false, maxMessageBytes: LIMIT });
  const before = usedBytes();
  for (let at = 0; at < wire.length; at += CHUNK) {
    // A chunk of a socket has memory of its own.
    parser.feed(Buffer.from(wire.subarray(at, at + CHUNK)));
    expect(nextFrame(parser)).toBeUndefined();
  }
  const total = sizes.reduce((sum, size) => sum + size, 0);
  expect(parser.bufferedBytes).toBe(total);
  const after = usedBytes() - before;
  expect(after).toBeGreaterThanOrEqual(total);
  expect(after).toBeLessThan(Math.min(2 * total, LIMIT) + MIB / 4);
  // Both must stay in memory until here.
  expect(parser.isInMessage && wire.length > total).toBe(true);
});

describe('headers of fragments', () => {
  it('may have 64 KiB more than maxMessageBytes', () => {
    const parser = new FrameParser({ ...FROM_SERVER, maxMessageBytes: 1_000 });
    const mostFrames = (1_000 + 64 * 1024) / 2;
    parser.feed(hex('0200'));
    for (let i = 0; i < mostFrames - 1; i++) parser.feed(hex('0000'));
    expect(nextFrame(parser)).toBeUndefined();
    expect(parser.bufferedBytes).toBe(0);
    parser.feed(hex('0000'));
    expect(thrown<FrameError>(() => nextFrame(parser))).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      closeCode: 1009,
    });
  });

  it('are counted anew for each message', () => {
    const parser = new FrameParser({ ...FROM_SERVER, maxMessageBytes: 1_000 });
    for (let message = 0; message < 5; message++) {
      parser.feed(hex(`0200 ${'0000'.repeat(20_000)} 8000`));
      expect(nextFrame(parser)).toMatchObject({ type: 'message' });
    }
  });

  it('limit the number of empty fragments in one chunk', () => {
    const rules: FrameRules = { isMasked: false, maxMessageBytes: 1_000 };
    const empty = Buffer.alloc(2 * 40_000, hex('0000'));
    expect(parse([hex('0200'), empty], rules)).toEqual([TOO_LARGE]);
    expect(parse([hex('0200'), empty.subarray(0, 66_000), hex('8001 61')], rules)).toEqual([
      'binary 61',
    ]);
  });
});
