/**
 * JSON text from a peer. Its nesting and its number of values are checked before JSON.parse()
 * creates objects.
 */
import { type Bytes, decode } from '../../core/bytes.js';

const MAX_DEPTH = 100;

/** The default of the options `maxDecodedObjects`. */
export const MAX_DECODED_OBJECTS = 100_000;

/**
 * What a property name counts besides one, if no other property of the text has it. V8 makes an
 * internal string of each such name, and describes its objects anew.
 */
const DIFFERENT_NAME_COST = 4;

/**
 * What a number with an exponent counts besides one. V8 parses some of them, such as 171574e-307,
 * with integers of a thousand bits, in up to 1 µs.
 */
const EXPONENT_COST = 2;

const QUOTE = 1;
const OPEN = 2;
const CLOSE = 3;
const COMMA = 4;
const COLON = 5;
const EXPONENT = 6;
/** The token that each byte begins; 0 for the bytes that the scan ignores. */
const TOKENS = new Uint8Array(256);
const QUOTE_BYTE = 0x22;
const BACKSLASH_BYTE = 0x5c;
TOKENS[QUOTE_BYTE] = QUOTE;
for (const bracket of '[{') TOKENS[bracket.charCodeAt(0)] = OPEN;
for (const bracket of ']}') TOKENS[bracket.charCodeAt(0)] = CLOSE;
TOKENS[','.charCodeAt(0)] = COMMA;
TOKENS[':'.charCodeAt(0)] = COLON;
for (const letter of 'eE') TOKENS[letter.charCodeAt(0)] = EXPONENT;

/**
 * The result of the last scanJson(): `names` of properties, and `values` including the names. One
 * object for all calls, because a result object would be an allocation per message.
 */
export const jsonCounts = { values: 0, names: 0 };

/**
 * The value of JSON text from `start` to `end`. Throws SyntaxError, also for more than 100 levels
 * of nesting, and RangeError if its values and names count more than `maxObjects`. A key
 * `__proto__` becomes an own property of the object, and changes no prototype.
 */
export function parseJson(
  bytes: Bytes,
  start: number,
  end: number,
  maxObjects = MAX_DECODED_OBJECTS,
): unknown {
  // 101 levels have at least 202 brackets. Each value has at least one byte, and a property whose
  // name counts DIFFERENT_NAME_COST more has five besides, and a number with an exponent has three.
  if (end - start > 2 * MAX_DEPTH || end - start > maxObjects)
    scanJson(bytes, start, end, maxObjects);
  return parseJsonText(decode(bytes, start, end));
}

/**
 * The value of a peer's JSON text. Throws SyntaxError, whose message quotes nothing of the text:
 * the message of JSON.parse() does, and the text can contain secrets.
 */
export function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SyntaxError(`${text.length} characters are not JSON`);
  }
}

/**
 * Counts values and names into `jsonCounts`. An opening bracket or a comma announces a value, and a
 * colon ends a name. The counts of bytes that are not JSON have no meaning. Throws SyntaxError for
 * more than 100 levels of nesting, and RangeError for more than `maxObjects` values and names. Each
 * different name counts DIFFERENT_NAME_COST more, and each exponent EXPONENT_COST.
 */
export function scanJson(bytes: Bytes, start: number, end: number, maxObjects: number): void {
  let depth = 0;
  let values = 0;
  let names = 0;
  for (let at = start; at < end; at++) {
    const token = TOKENS[bytes[at] as number];
    if (token === 0) continue;
    if (token === QUOTE) at = endOfString(bytes, at + 1, end);
    else if (token === CLOSE) depth--;
    else {
      if (token === COLON) names++;
      else if (token === EXPONENT) {
        // The other letters e outside of texts are those of `true` and `false`.
        if (!isDigit(bytes[at - 1])) continue;
        values += EXPONENT_COST - 1;
      } else if (token === OPEN && ++depth > MAX_DEPTH)
        throw new SyntaxError(`nested in more than ${MAX_DEPTH} levels`);
      if (++values > maxObjects) throw tooManyObjects(maxObjects);
    }
  }
  jsonCounts.values = values;
  jsonCounts.names = names;
  if (values + names * DIFFERENT_NAME_COST <= maxObjects) return;
  const most = (maxObjects - values) / DIFFERENT_NAME_COST;
  if (hasMoreNames(most, bytes, start, end)) throw tooManyObjects(maxObjects);
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

/**
 * The start of the hashes of names, a secret of this process, so that a peer cannot make names
 * collide. Of Math.random() peers receive other numbers, from which they could compute it.
 */
const [HASH_START = 0] = globalThis.crypto.getRandomValues(new Int32Array(1));

/**
 * Whether the text has more than `most` different names, which are known by their hashes. Each name
 * with an escape counts as different.
 */
function hasMoreNames(most: number, bytes: Bytes, start: number, end: number): boolean {
  const hashes = new Set<number>();
  let escaped = 0;
  let nameStart = 0;
  let nameEnd = 0;
  for (let at = start; at < end; at++) {
    const token = TOKENS[bytes[at] as number];
    if (token === QUOTE) {
      nameStart = at + 1;
      at = endOfString(bytes, nameStart, end);
      nameEnd = at;
    } else if (token === COLON) {
      const hash = hashOf(bytes, nameStart, nameEnd);
      if (hash === undefined) escaped++;
      else hashes.add(hash);
      if (hashes.size + escaped > most) return true;
    }
  }
  return false;
}

/**
 * As FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/, but the shift brings the high bits to the
 * low ones. Without it, only the low byte of HASH_START decides which names collide. Undefined for
 * a name with an escape.
 */
function hashOf(bytes: Bytes, start: number, end: number): number | undefined {
  let hash = HASH_START;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte === BACKSLASH_BYTE) return undefined;
    hash = Math.imul(hash ^ byte, 0x01000193);
    hash ^= hash >>> 15;
  }
  return hash;
}

export function tooManyObjects(maxObjects: number): Error {
  return new RangeError(
    `more than ${maxObjects} objects would be made of it, which is maxDecodedObjects`,
  );
}

/** Where the closing quote is, or `end` if it is missing. */
function endOfString(bytes: Bytes, start: number, end: number): number {
  let at = start;
  for (; at < end; at++) {
    const byte = bytes[at];
    if (byte === QUOTE_BYTE) return at;
    if (byte === BACKSLASH_BYTE) at++;
  }
  return at;
}
