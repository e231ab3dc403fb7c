/** The message codec of plain JSON. */

import { type Bytes, encode } from '../../core/bytes.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { parseJson } from '../../transport/codecs/json-text.js';
import type { MessageCodec } from './types.js';

/** The body `null`, for peers that refuse an empty body. */
export const NULL = encode('null');
/**
 * The body without a value, for a peer that may be extended. Go reads null; an extended peer reads
 * undefined.
 */
export const UNDEFINED = encode('null ');

/** Whether the body is one without a value. */
export function isUndefined(bytes: Bytes, start: number, end: number): boolean {
  if (start === end) return true;
  // No other JSON value of this length begins with n.
  return (
    end - start === UNDEFINED.length &&
    bytes[start] === UNDEFINED[0] &&
    bytes[end - 1] === UNDEFINED[UNDEFINED.length - 1]
  );
}

/**
 * Encodes any JSON value; undefined is an empty body. Throws TypeError for a value without a JSON
 * form.
 */
export const json: MessageCodec = {
  encode(output: ByteWriter, message: unknown) {
    if (message === undefined) return;
    const text = JSON.stringify(message);
    if (text === undefined) throw new TypeError(`a ${typeof message} has no JSON form`);
    output.text(text);
  },
  decode: (bytes, start, end, maxObjects) =>
    isUndefined(bytes, start, end) ? undefined : parseJson(bytes, start, end, maxObjects),
};
