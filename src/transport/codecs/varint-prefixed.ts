/** The codec of Protobuf's delimited streams. */
import type { Bytes } from '../../core/bytes.js';
import { gettyError } from '../../core/errors.js';
import type { ByteWriter } from '../buffers/byte-writer.js';
import type { Codec } from '../types.js';
import { takePrefixedMessage } from './prefixed-message.js';

/** A varint of 5 bytes has 35 bits; the largest message has 31. */
const MAX_VARINT_BYTES = 5;

/**
 * A codec of Protobuf's delimited streams: a length as a varint of at most 5 bytes, then as many
 * bytes. A message is a view that stays valid and keeps its whole chunk in memory: up to 64 KiB, or
 * more if it spans chunks. Copy what you keep.
 */
export function varintPrefixed(): Codec<Bytes, Uint8Array> {
  return {
    read(input, session) {
      let length = 0;
      for (let i = 0; i < MAX_VARINT_BYTES; i++) {
        const byte = input.peek(i);
        if (byte === undefined) return undefined;
        length += (byte & 0x7f) * 2 ** (7 * i);
        if (byte < 0x80) return takePrefixedMessage(input, session, i + 1 + length, i + 1);
      }
      throw gettyError('BAD_FRAME', `${session.remoteAddress} sent a length of more than 5 bytes`);
    },
    write(output: ByteWriter, message) {
      let rest = message.length;
      for (; rest > 0x7f; rest = Math.floor(rest / 128)) output.uint8((rest & 0x7f) | 0x80);
      output.uint8(rest);
      output.append(message);
    },
  };
}
