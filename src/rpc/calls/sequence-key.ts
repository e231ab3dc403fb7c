/** Keys of a Map for the sequences that a peer chooses. */

/**
 * V8 hashes integers without a secret. A peer that chose sequences of one bucket would make each
 * access to the Map walk through all of them, so the keys are sequences that are permuted with a
 * secret of this process.
 */
const [OFFSET, FACTOR] = secrets();

function secrets(): readonly [number, number] {
  const [offset = 0, factor = 0] = globalThis.crypto.getRandomValues(new Int32Array(2));
  // An odd factor has an inverse, so that different sequences have different keys.
  return [offset, factor | 1];
}

/** The key of the low half of a sequence. */
export function sequenceKey(low: number): number {
  return Math.imul(low ^ OFFSET, FACTOR);
}
