/** The number of a call on its session, a 64-bit integer in two int32 halves. */

/** The sequence of a call. */
export interface Sequence {
  readonly sequenceLow: number;
  readonly sequenceHigh: number;
}

/** A small object, so that a stream does not keep a whole frame in memory. */
export function copySequence({ sequenceLow, sequenceHigh }: Sequence): Sequence {
  return { sequenceLow, sequenceHigh };
}

/**
 * The sequence and the other numbers that an answer copies from its request. 64-bit numbers are two
 * int32 each: BigInt costs a third of the speed, and V8 allocates objects for uint32 from 2^31 on.
 */
export interface CallIds extends Sequence {
  readonly serviceId: number;
  readonly logIdLow: number;
  readonly logIdHigh: number;
}

/**
 * The ids of a frame that is written. All writers use this class, because V8 reads fields fast only
 * where it has seen few classes.
 */
export class FrameIds implements CallIds {
  serviceId: number;
  sequenceLow: number;
  sequenceHigh: number;
  logIdLow = 0;
  logIdHigh = 0;

  constructor(serviceId: number, { sequenceLow, sequenceHigh }: Sequence) {
    this.serviceId = serviceId;
    this.sequenceLow = sequenceLow;
    this.sequenceHigh = sequenceHigh;
  }
}

/** The sequence of frames that belong to no call. */
export const NO_SEQUENCE: Sequence = { sequenceLow: 0, sequenceHigh: 0 };

/**
 * V8 hashes integers without a secret. A peer could choose sequences of one bucket, so that each
 * access to a Map walks through all of them. Keys are therefore permuted with a secret of this
 * process.
 */
const [OFFSET, FACTOR] = secrets();

function secrets(): readonly [number, number] {
  const [offset = 0, factor = 0] = globalThis.crypto.getRandomValues(new Int32Array(2));
  // An odd factor has an inverse, so different sequences have different keys.
  return [offset, factor | 1];
}

/** The key of a Map for the low half of a sequence that a peer has chosen. */
export function sequenceKey(low: number): number {
  return Math.imul(low ^ OFFSET, FACTOR);
}
