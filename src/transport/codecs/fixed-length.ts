/** The codec of messages of one length. */
import type { Bytes } from '../../core/bytes.js';
import { gettyError } from '../../core/errors.js';
import { badOption } from '../../core/options.js';
import type { Codec } from '../types.js';

/**
 * A codec of messages of `length` bytes, from 1. A message is a view that stays valid and keeps its
 * whole chunk in memory: up to 64 KiB, or more if it spans chunks. Copy what you keep.
 *
 * Writing throws ENCODE_FAILED for a message of another length. fixedLength() throws BAD_OPTION.
 */
export function fixedLength(length: number): Codec<Bytes, Uint8Array> {
  if (!Number.isInteger(length) || length < 1)
    throw badOption('length', length, 'a whole number of bytes from 1');
  return {
    read: (input) => (input.length < length ? undefined : input.take(length)),
    write(output, message) {
      if (message.length !== length)
        throw gettyError(
          'ENCODE_FAILED',
          `a message has ${message.length} bytes, expected ${length}`,
        );
      output.append(message);
    },
  };
}
