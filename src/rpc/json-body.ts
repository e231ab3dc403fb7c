/** The body of a call as plain JSON. */
import type { ByteWriter } from '../transport/byte-writer.js';
import { parseJson } from './json.js';
import type { MessageCodec } from './types.js';

/** Any JSON value; undefined is an empty body. */
export const json: MessageCodec = {
  encode(output: ByteWriter, message: unknown) {
    if (message === undefined) return;
    const text = JSON.stringify(message);
    if (text === undefined) throw new TypeError(`a ${typeof message} has no JSON form`);
    output.text(text);
  },
  decode: (bytes, start, end, maxObjects) => (start === end ? undefined : parseJson(bytes, start, end, maxObjects)),
};
