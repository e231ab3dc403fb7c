/** Random numbers that a seed determines, so that a failure can be repeated. */

/**
 * Returns a function as Math.random(): its results are from 0 to 1, without 1. Equal seeds give
 * equal sequences. The algorithm is mulberry32; it is not for cryptography.
 */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A random integer from 0 to `limit`, without `limit`. */
export function randomInteger(random: () => number, limit: number): number {
  return Math.floor(random() * limit);
}
