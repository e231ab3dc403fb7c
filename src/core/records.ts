/** Records whose keys come from a peer. */

/** The largest array index. */
const LAST_INDEX = 4294967294;

/**
 * Sets `record[key]`, also when the key is an array index. V8 keeps the values of such keys in an
 * array or in a dictionary. For some sequences of keys it would convert between the two many times,
 * in quadratic time. After a very large index it keeps the dictionary.
 */
export function setKey<T>(record: Record<string, T>, key: string, value: T): void {
  const first = key.charCodeAt(0);
  if (first >= 48 && first <= 57) keepDictionary(record);
  record[key] = value;
}

/**
 * Makes V8 keep the values of array indices in a dictionary. Call it before the first such key is
 * set. Further calls change nothing.
 */
export function keepDictionary(record: object): void {
  const elements = record as Record<number, unknown>;
  if (elements[LAST_INDEX] !== undefined) return;
  elements[LAST_INDEX] = 0;
  delete elements[LAST_INDEX];
}

/** Places of an array of V8, of 8 bytes each, that take the memory and the time of one object. */
export const PLACES_PER_OBJECT = 8;
/** An index beyond such a gap makes V8 keep a dictionary. */
const MAX_GAP = 1024;
/** V8 keeps an array of so many places however few of them are used. */
const MAX_SPARSE_PLACES = 5_000;

/**
 * Counts the places of the array that V8 makes for the array indices of an ordinary object. An
 * object with the one index 1023 has 1,550 places of 8 bytes. Use it for objects that a library
 * fills; `setKey()` needs no places.
 */
export class IndexPlaces {
  /** 0 while V8 keeps a dictionary, whose memory grows with the entries only. */
  places = 0;
  /** Entries that V8 has moved between arrays and dictionaries. */
  moved = 0;
  #entries = 0;
  #length = 0;
  #isDictionary = false;

  /** Adds a key that is set for the first time; in the order in which the keys are set. */
  add(key: string | number | bigint | boolean): void {
    const index = Number(key) >>> 0;
    if (index > LAST_INDEX || String(index) !== String(key)) return;
    this.#entries++;
    this.#length = Math.max(this.#length, index + 1);
    if (this.#isDictionary) {
      if (this.#length > 2 * this.#dictionaryPlaces()) return;
      this.#isDictionary = false;
      this.moved += 2 * this.#entries;
      this.places = this.#length;
    } else if (index >= this.places) {
      const grown = index + (index >>> 1) + 16;
      this.#isDictionary =
        index - this.places >= MAX_GAP ||
        (grown > MAX_SPARSE_PLACES && grown >= 3 * this.#dictionaryPlaces());
      this.places = this.#isDictionary ? 0 : grown;
    }
  }

  /** V8 uses at most two thirds of a dictionary, whose size is a power of two. */
  #dictionaryPlaces(): number {
    return 3 * 2 ** Math.ceil(Math.log2(1.5 * this.#entries));
  }
}
