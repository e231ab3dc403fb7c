/** The chunks that codecCases() reads: where messages are split, and bytes that are no messages. */
import { type Random, seededRandom } from './random.js';

/** Messages up to this many bytes are split at each position. */
const MAX_SPLITS = 4096;
/** Bytes of one random input. */
const MAX_RANDOM_BYTES = 200;

/**
 * The positions at which `length` bytes are split in two: all of them, or the first and last 64 and
 * random ones.
 */
export function splitPoints(length: number, seed: number): number[] {
  if (length <= MAX_SPLITS) return Array.from({ length: length + 1 }, (_, at) => at);
  const random = seededRandom(seed, 'split points');
  const points = new Set<number>();
  for (let at = 0; at < 64; at++) points.add(at).add(length - at);
  while (points.size < 256) points.add(random.integer(0, length - 1));
  return [...points];
}

/**
 * `count` inputs: random bytes, and samples of real messages with changed, missing and additional
 * bytes, in one or more chunks. An input has at most twice `maxBytes` bytes.
 */
export function* garbageFor(
  samples: readonly Uint8Array[],
  count: number,
  seed: number,
  maxBytes: number,
): Generator<Uint8Array[]> {
  const random = seededRandom(seed, 'garbage');
  for (let at = 0; at < count; at++) {
    const isRandom = at % 3 === 0 || samples.length === 0;
    const bytes = isRandom
      ? randomBytes(random)
      : damaged(samples[random.integer(0, samples.length - 1)] as Uint8Array, random);
    yield chunksOf(bytes.subarray(0, maxBytes * 2), random);
  }
}

function randomBytes(random: Random): Uint8Array {
  const length = random.integer(1, MAX_RANDOM_BYTES);
  return Uint8Array.from({ length }, () => random.integer(0, 255));
}

/** A copy with one to four changes. */
function damaged(sample: Uint8Array, random: Random): Uint8Array {
  let bytes = [...sample];
  for (let changes = random.integer(1, 4); changes > 0; changes--) {
    // Half of the changes are in the first 12 bytes, where headers often have their lengths.
    const nearStart = random() < 0.5 ? Math.min(bytes.length, 12) : bytes.length;
    const at = random.integer(0, Math.max(0, nearStart - 1));
    const kind = random.integer(0, 3);
    if (kind === 0) bytes[at] = random.integer(0, 255);
    else if (kind === 1) bytes[at] = random() < 0.5 ? 0 : 0xff;
    else if (kind === 2) bytes.splice(at, random.integer(1, 4));
    else bytes = [...bytes.slice(0, at), random.integer(0, 255), ...bytes.slice(at)];
  }
  return Uint8Array.from(bytes);
}

function chunksOf(bytes: Uint8Array, random: Random): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = random() < 0.5 ? bytes.length : random.integer(1, 16);
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}
