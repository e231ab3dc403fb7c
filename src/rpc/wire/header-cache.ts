/** A cache of parsed headers by their bytes: most requests of a session repeat a few headers. */
import type { Bytes } from '../../core/bytes.js';

/** A power of two. A header replaces an earlier one with the same hash. */
const SLOTS = 1024;
/** Bytes. Longer headers are not cached. */
export const LARGEST_CACHED_HEADER = 512;

interface Entry<T> {
  readonly bytes: Uint8Array;
  readonly value: T;
}

/** Maps bytes to values. A Map with text as its key costs four times as much. */
export class HeaderCache<T> {
  /** Created by the first set(): an endpoint without services needs none. */
  #entries: (Entry<T> | undefined)[] | undefined;
  #last: Entry<T> | undefined;

  get(bytes: Bytes, start: number, end: number): T | undefined {
    const last = this.#last;
    // In most cases the header is equal to the one before.
    if (last !== undefined && isEqual(last.bytes, bytes, start, end)) return last.value;
    const entry = this.#entries?.[slotOf(bytes, start, end)];
    if (entry === undefined || !isEqual(entry.bytes, bytes, start, end)) return undefined;
    this.#last = entry;
    return entry.value;
  }

  set(bytes: Bytes, start: number, end: number, value: T): void {
    this.#entries ??= new Array(SLOTS).fill(undefined);
    this.#entries[slotOf(bytes, start, end)] = {
      bytes: new Uint8Array(bytes.subarray(start, end)),
      value,
    };
  }
}

function isEqual(known: Uint8Array, bytes: Bytes, start: number, end: number): boolean {
  const length = end - start;
  if (known.length !== length) return false;
  // Backwards, because headers differ in their last fields: version, timeout.
  for (let at = length - 1; at >= 0; at--) if (known[at] !== bytes[start + at]) return false;
  return true;
}

function slotOf(bytes: Bytes, start: number, end: number): number {
  let hash = end - start;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
  return (hash ^ (hash >>> 15)) & (SLOTS - 1);
}
