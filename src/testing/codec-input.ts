/** The chunks that codecCases() reads: where messages are split, and bytes that are no messages. */
import { randomInteger, seededRandom } from './random.js';

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
  const random = seededRandom(seed);
  const points = new Set<number>();
  for (let at = 0; at < 64; at++) points.add(at).add(length - at);
  while (points.size < 256) points.add(randomInteger(random, length));
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
  const random = seededRandom(seed);
  for (let at = 0; at < count; at++) {
    const isRandom = at % 3 === 0 || samples.length === 0;
    const bytes = isRandom
      ? randomBytes(random)
      : damaged(samples[randomInteger(random, samples.length)] as Uint8Array, random);
    yield chunksOf(bytes.subarray(0, maxBytes * 2), random);
  }
}

function randomBytes(random: () => number): Uint8Array {
  const length = 1 + randomInteger(random, MAX_RANDOM_BYTES);
  return Uint8Array.from({ length }, () => randomInteger(random, 256));
}

/** A copy with one to four changes. */
function damaged(sample: Uint8Array, random: () => number): Uint8Array {
  let bytes = [...sample];
  for (let changes = 1 + randomInteger(random, 4); changes > 0; changes--) {
    // Lengths and marks are often at the beginning.
    const nearStart = random() < 0.5 ? Math.min(bytes.length, 12) : bytes.length;
    const at = randomInteger(random, nearStart);
    const kind = randomInteger(random, 4);
    if (kind === 0) bytes[at] = randomInteger(random, 256);
    else if (kind === 1) bytes[at] = random() < 0.5 ? 0 : 0xff;
    else if (kind === 2) bytes.splice(at, 1 + randomInteger(random, 4));
    else bytes = [...bytes.slice(0, at), randomInteger(random, 256), ...bytes.slice(at)];
  }
  return Uint8Array.from(bytes);
}

function chunksOf(bytes: Uint8Array, random: () => number): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = random() < 0.5 ? bytes.length : 1 + randomInteger(random, 16);
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}
