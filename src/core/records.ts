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
