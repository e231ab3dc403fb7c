/** JSON as it comes from a stranger. */
import { type Bytes, decode } from '../transport/bytes.js';

/** The deepest nesting that is read: what is nested without end breaks whatever walks it recursively. */
const DEEPEST_NESTING = 100;

/** How many objects may be made of one message, unless an option says otherwise. */
export const MAX_DECODED_OBJECTS = 100_000;

/** What a byte means to whoever counts brackets. Most mean nothing, and a table tells that in one step. */
const QUOTE = 1;
const OPENS = 2;
const CLOSES = 3;
const COLON = 4;
const MEANS = new Uint8Array(256);
const QUOTE_BYTE = 0x22;
MEANS[QUOTE_BYTE] = QUOTE;
for (const bracket of '[{') MEANS[bracket.charCodeAt(0)] = OPENS;
for (const bracket of ']}') MEANS[bracket.charCodeAt(0)] = CLOSES;
/** The same with the colon of a property. */
const COUNTS = new Uint8Array(MEANS);
COUNTS[':'.charCodeAt(0)] = COLON;
const BACKSLASH_BYTE = 0x5c;

/**
 * The value of JSON text from `start` to `end`. Throws SyntaxError, also when it is nested in more than 100 levels, and RangeError when it has more than
 * `maxObjects` objects, arrays and properties.
 * A key `__proto__` is a property like any other of the object that comes back, and changes no prototype.
 */
export function parseJson(bytes: Bytes, start: number, end: number, maxObjects?: number): unknown {
  return JSON.parse(jsonText(bytes, start, end, maxObjects));
}

/** The text alone, not nested too deeply, for whoever parses it. */
export function jsonText(bytes: Bytes, start: number, end: number, maxObjects = MAX_DECODED_OBJECTS): string {
  // 101 levels take 202 brackets.
  if (end - start > 2 * DEEPEST_NESTING && isNestedDeeper(bytes, start, end)) throw new SyntaxError(`nested in more than ${DEEPEST_NESTING} levels`);
  // Each object or array has a bracket, and each property a colon.
  if (end - start > maxObjects) checkObjects(bytes, start, end, maxObjects);
  return decode(bytes, start, end);
}

/** Looks at brackets outside of text; for what is no JSON any answer is right. */
function isNestedDeeper(bytes: Bytes, start: number, end: number): boolean {
  let depth = 0;
  for (let at = start; at < end; at++) {
    const means = MEANS[bytes[at] as number];
    if (means === 0) continue;
    if (means === QUOTE) at = endOfText(bytes, at + 1, end);
    else if (means === CLOSES) depth--;
    else if (++depth > DEEPEST_NESTING) return true;
  }
  return false;
}

/** Throws RangeError. JSON.parse() of a few MiB of small objects takes seconds and many times the memory. */
function checkObjects(bytes: Bytes, start: number, end: number, maxObjects: number): void {
  let count = 0;
  for (let at = start; at < end; at++) {
    const means = COUNTS[bytes[at] as number];
    if (means === 0) continue;
    if (means === QUOTE) at = endOfText(bytes, at + 1, end);
    else if (means !== CLOSES && ++count > maxObjects) throw tooManyObjects(maxObjects);
  }
}

export function tooManyObjects(maxObjects: number): Error {
  return new RangeError(`more than ${maxObjects} objects would be made of it, which is maxDecodedObjects`);
}

function endOfText(bytes: Bytes, start: number, end: number): number {
  let at = start;
  for (; at < end; at++) {
    const byte = bytes[at];
    if (byte === QUOTE_BYTE) return at;
    if (byte === BACKSLASH_BYTE) at++;
  }
  return at;
}
