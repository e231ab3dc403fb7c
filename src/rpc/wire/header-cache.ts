/** A cache of parsed headers by their bytes: most requests of a session repeat a few headers. */

/** A power of two. A header replaces an earlier one with the same hash. */
const SLOTS = 1024;
/** Bytes. Longer headers are not cached. */
export const LARGEST_CACHED_HEADER = 512;

interface Entry<T> {
  readonly length: number;
  /** The bytes as integers of four bytes, because comparing each byte takes three times as long. */
  readonly words: Int32Array;
  /** The bytes after the last whole word. */
  readonly rest: number;
  readonly value: T;
}

/** Maps bytes to values. A Map with text as its key costs four times as much. */
export class HeaderCache<T> {
  /** Created by the first set(): an endpoint without services needs none. */
  #entries: (Entry<T> | undefined)[] | undefined;
  #last: Entry<T> | undefined;

  get(view: DataView, start: number, end: number): T | undefined {
    const last = this.#last;
    // In most cases the header is equal to the previous header.
    if (last !== undefined && isEqual(last, view, start, end)) return last.value;
    const entry = this.#entries?.[slotOf(view, start, end)];
    if (entry === undefined || !isEqual(entry, view, start, end)) return undefined;
    this.#last = entry;
    return entry.value;
  }

  set(view: DataView, start: number, end: number, value: T): void {
    const length = end - start;
    const words = Int32Array.from({ length: length >>> 2 }, (_, i) =>
      view.getInt32(start + 4 * i, true),
    );
    this.#entries ??= new Array(SLOTS).fill(undefined);
    this.#entries[slotOf(view, start, end)] = {
      length,
      words,
      rest: restOf(view, start + 4 * words.length, end),
      value,
    };
  }
}

function isEqual(
  { length, words, rest }: Entry<unknown>,
  view: DataView,
  start: number,
  end: number,
): boolean {
  if (length !== end - start) return false;
  // Backwards, because headers differ in their last fields: version, timeout.
  let at = start + 4 * words.length;
  if (restOf(view, at, end) !== rest) return false;
  for (let i = words.length - 1; i >= 0; i--) {
    at -= 4;
    if (words[i] !== view.getInt32(at, true)) return false;
  }
  return true;
}

/** At most three bytes as one integer. */
function restOf(view: DataView, start: number, end: number): number {
  let rest = 0;
  for (let at = start; at < end; at++) rest = (rest << 8) | view.getUint8(at);
  return rest;
}

function slotOf(view: DataView, start: number, end: number): number {
  let hash = end - start;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ view.getUint8(at), 0x01000193);
  return (hash ^ (hash >>> 15)) & (SLOTS - 1);
}
