/** The codec of bytes with a delimiter. */
import { type Bytes, copy, encode, find, isBytes } from '../../core/bytes.js';
import { gettyError } from '../../core/errors.js';
import { badOption } from '../../core/options.js';
import type { Codec } from '../types.js';

/**
 * A codec of bytes up to a delimiter, which is not part of the message. `mark`: the delimiter, at
 * least one character or byte; it is copied. A message is a view that stays valid and keeps its
 * whole chunk in memory: up to 64 KiB, or more if it spans chunks. Copy what you keep.
 *
 * Writing throws ENCODE_FAILED for a message in which the reader would find the delimiter too
 * early. delimiter() throws BAD_OPTION.
 */
export function delimiter(mark: string | Uint8Array): Codec<Bytes, Uint8Array> {
  const bytes = typeof mark === 'string' ? encode(mark) : copyOf(mark);
  if (bytes.length === 0) throw badOption('delimiter', mark, 'at least one character or byte');
  const pattern = bytes.length === 1 ? (bytes[0] as number) : bytes;
  return {
    read(input) {
      const length = input.indexOf(pattern);
      if (length < 0) return undefined;
      const message = input.take(length);
      input.skip(bytes.length);
      return message;
    },
    write(output, message) {
      const start = output.length;
      output.append(message);
      output.append(bytes);
      // The end of a message and the beginning of the delimiter can form a delimiter: `a-` and `--`
      // would be read as `a` and `-`.
      if (find(output.bytes.subarray(start, output.length), pattern, 0) < message.length) {
        throw gettyError(
          'ENCODE_FAILED',
          'a message must not contain the delimiter, or end so that the reader finds it too early',
        );
      }
    },
  };
}

/** Empty for a value that is no Uint8Array. */
function copyOf(mark: unknown): Bytes {
  // The constructor ignores `length`, which a subclass can give another value.
  return copy(isBytes(mark) ? new Uint8Array(mark) : new Uint8Array());
}
