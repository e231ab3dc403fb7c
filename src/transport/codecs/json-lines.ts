/** The codec of JSON lines. */
import { gettyError, messageOf } from '../../core/errors.js';
import { checkNames, checkNumber, type NamesOf } from '../../core/options.js';
import type { ByteReader } from '../buffers/byte-reader.js';
import type { Codec } from '../types.js';
import { MAX_DECODED_OBJECTS, parseJson } from './json-text.js';

/** Options of jsonLines(). */
export interface JsonLinesOptions {
  /**
   * The most values of one line, in all its arrays and objects. The name of a property counts as a
   * value, and as five if no other property of the line has it. A number with an exponent counts as
   * three. A line with more closes the session with BAD_FRAME. From 1. Default: 100,000.
   */
  maxDecodedObjects?: number | undefined;
}

const OPTION_NAMES = { maxDecodedObjects: true } satisfies NamesOf<JsonLinesOptions>;
const NEWLINE = 0x0a;

/** JSON whitespace: space, tab, newline and carriage return. */
const isWhitespace = (byte: number | undefined): boolean =>
  byte === NEWLINE || byte === 0x0d || byte === 0x20 || byte === 0x09;

/**
 * A codec of one JSON value per line (NDJSON). Empty lines are skipped.
 *
 * A line closes the session with BAD_FRAME if it is not JSON, has more than 100 levels of nesting,
 * or has more than `maxDecodedObjects` values. A key `__proto__` is an own property of the object:
 * do not merge objects of a peer into others unchecked.
 *
 * Writing throws ENCODE_FAILED for a value without a JSON form, such as undefined, a function, a
 * bigint or a circular object. jsonLines() throws BAD_OPTION.
 */
export function jsonLines<In = unknown, Out = In>(options: JsonLinesOptions = {}): Codec<In, Out> {
  checkNames('jsonLines()', options, OPTION_NAMES);
  const { maxDecodedObjects = MAX_DECODED_OBJECTS } = options;
  checkNumber('maxDecodedObjects', maxDecodedObjects, 1, Number.POSITIVE_INFINITY, 'integer');
  return {
    read(input) {
      skipWhitespace(input);
      const length = input.indexOf(NEWLINE);
      if (length < 0) return undefined;
      const { bytes, position } = input;
      input.skip(length + 1);
      try {
        return parseJson(bytes, position, position + length, maxDecodedObjects) as In;
      } catch (error) {
        const isTooLarge = error instanceof RangeError;
        throw gettyError(
          'BAD_FRAME',
          `a line of ${length} bytes is ${isTooLarge ? 'too large' : 'not JSON'}: ${messageOf(error)}`,
          error,
        );
      }
    },
    write(output, message) {
      const text = toJson(message);
      if (text === undefined)
        throw gettyError('ENCODE_FAILED', `a ${typeof message} has no JSON form`);
      output.text(text);
      output.uint8(NEWLINE);
    },
  };
}

/** Skips a run of empty lines in one step: a peer can send millions of them at once. */
function skipWhitespace(input: ByteReader): void {
  const { bytes, position, end } = input;
  let at = position;
  while (at < end && isWhitespace(bytes[at])) at++;
  if (at > position) input.skip(at - position);
}

/**
 * Undefined for a value without a JSON form. Throws ENCODE_FAILED where JSON.stringify() throws:
 * for a circular object, a bigint, or a toJSON() that throws.
 */
function toJson(message: unknown): string | undefined {
  try {
    return JSON.stringify(message);
  } catch (error) {
    throw gettyError('ENCODE_FAILED', `the message has no JSON form: ${messageOf(error)}`, error);
  }
}
