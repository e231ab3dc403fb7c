/** Headers repeat: the same bytes lead to the same place, without being parsed again. */
import type { Bytes } from '../../core/bytes.js';

/** A power of two. One that comes later takes the place of one that has the same hash. */
const SLOTS = 1024;
/** Longer headers are not kept. */
export const LARGEST_HEAD = 512;

interface Entry<T> {
  readonly bytes: Uint8Array;
  readonly value: T;
}

/** Bytes to values. Made for speed: text as the key of a Map costs four times as much. */
export class HeadCache<T> {
  /** Made by the first: who serves nothing keeps none. */
  #entries: (Entry<T> | undefined)[] | undefined;
  #last: Entry<T> | undefined;

  get(bytes: Bytes, start: number, end: number): T | undefined {
    const last = this.#last;
    // Mostly it is the one that came before.
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
  // Headers differ in what comes last: version, timeout.
  for (let at = length - 1; at >= 0; at--) if (known[at] !== bytes[start + at]) return false;
  return true;
}

function slotOf(bytes: Bytes, start: number, end: number): number {
  let hash = end - start;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
  return (hash ^ (hash >>> 15)) & (SLOTS - 1);
}
