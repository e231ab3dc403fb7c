/** The codec of plain bytes. */
import type { Bytes } from '../../core/bytes.js';
import type { Codec } from '../types.js';

/**
 * A codec of plain bytes: each message has the bytes of one read, at most maxMessageBytes. A
 * message is a view that stays valid and keeps its whole chunk (up to 64 KiB) in memory. Copy what
 * you keep.
 */
export function raw(): Codec<Bytes, Uint8Array> {
  return {
    read: (input, session) => input.take(Math.min(input.length, session.maxMessageBytes)),
    write: (output, message) => output.append(message),
  };
}
