/**
 * JSON text from a peer: limits of its nesting and of its values, which are checked before
 * JSON.parse() makes anything of it.
 */
import { type Bytes, decode } from '../core/bytes.js';

const MAX_DEPTH = 100;

/** The default of the options `maxDecodedObjects`. */
export const MAX_DECODED_OBJECTS = 100_000;

const QUOTE = 1;
const OPENS = 2;
const CLOSES = 3;
const COMMA = 4;
const COLON = 5;
/** Most bytes mean nothing to the scan. A table tells that in one step. */
const MEANING = new Uint8Array(256);
const QUOTE_BYTE = 0x22;
const BACKSLASH_BYTE = 0x5c;
MEANING[QUOTE_BYTE] = QUOTE;
for (const bracket of '[{') MEANING[bracket.charCodeAt(0)] = OPENS;
for (const bracket of ']}') MEANING[bracket.charCodeAt(0)] = CLOSES;
MEANING[','.charCodeAt(0)] = COMMA;
MEANING[':'.charCodeAt(0)] = COLON;

/**
 * What the last scanJson() has counted. One object for all calls, because a result object would be
 * an allocation per message.
 */
export const counted = { values: 0, names: 0 };

/**
 * The value of JSON text from `start` to `end`. Throws SyntaxError, also for more than 100 levels
 * of nesting, and RangeError for more than `maxObjects` values and names. A key `__proto__` is a
 * property like any other of the object that comes back, and changes no prototype.
 */
export function parseJson(
  bytes: Bytes,
  start: number,
  end: number,
  maxObjects = MAX_DECODED_OBJECTS,
): unknown {
  checkJson(bytes, start, end, maxObjects);
  return parseText(decode(bytes, start, end));
}

/**
 * The value of a stranger's JSON text. Throws SyntaxError, which quotes nothing of the text: the
 * message of JSON.parse() does, and texts hold secrets.
 */
export function parseText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SyntaxError(`${text.length} characters are not JSON`);
  }
}

/**
 * Throws SyntaxError for more than 100 levels of nesting, and RangeError for more than `maxObjects`
 * values and names.
 */
export function checkJson(bytes: Bytes, start: number, end: number, maxObjects: number): void {
  // 101 levels take 202 brackets, and each value or name at least one byte.
  if (end - start > 2 * MAX_DEPTH || end - start > maxObjects)
    scanJson(bytes, start, end, maxObjects);
}

/**
 * Checks what checkJson() checks, and leaves in `counted` how many names of properties the text
 * has, and how many values in all, with the names. An opening bracket or a comma announces a value,
 * and a colon ends a name. For bytes that are no JSON any count is right.
 */
export function scanJson(bytes: Bytes, start: number, end: number, maxObjects: number): void {
  let depth = 0;
  let values = 0;
  let names = 0;
  for (let at = start; at < end; at++) {
    const meaning = MEANING[bytes[at] as number];
    if (meaning === 0) continue;
    if (meaning === QUOTE) at = endOfText(bytes, at + 1, end);
    else if (meaning === CLOSES) depth--;
    else {
      if (meaning === COLON) names++;
      else if (meaning === OPENS && ++depth > MAX_DEPTH)
        throw new SyntaxError(`nested in more than ${MAX_DEPTH} levels`);
      if (++values > maxObjects) throw tooManyObjects(maxObjects);
    }
  }
  counted.values = values;
  counted.names = names;
}

export function tooManyObjects(maxObjects: number): Error {
  return new RangeError(
    `more than ${maxObjects} objects would be made of it, which is maxDecodedObjects`,
  );
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
