/** The body of a call as plain JSON. */

import { type Bytes, encode } from '../../core/bytes.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';
import { parseJson } from '../../transport/json-text.js';
import type { MessageCodec } from './types.js';

/** JSON bodies without a value, for peers to which an empty body is an error. */
export const NULL = encode('null');
/** The same for a peer that may be extended: Go reads null, an extended peer undefined. */
export const UNDEFINED = encode('null ');

function isUndefined(bytes: Bytes, start: number, end: number): boolean {
  if (start === end) return true;
  // No other JSON value of this length begins with an n.
  return (
    end - start === UNDEFINED.length &&
    bytes[start] === UNDEFINED[0] &&
    bytes[end - 1] === UNDEFINED[UNDEFINED.length - 1]
  );
}

/** Any JSON value; undefined is an empty body. */
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
