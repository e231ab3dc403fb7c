/** Reads a message whose length is in a header before it. */
import type { Bytes } from '../../core/bytes.js';
import { gettyError } from '../../core/errors.js';
import type { ByteReader } from '../buffers/byte-reader.js';
import type { Session } from '../types.js';

/**
 * Takes a frame of `frameBytes`, header and message. Returns it without its first `strippedBytes`;
 * undefined while it is incomplete. Throws MESSAGE_TOO_LARGE as soon as the length is known.
 */
export function takePrefixedMessage(
  input: ByteReader,
  session: Session<never, never>,
  frameBytes: number,
  strippedBytes: number,
): Bytes | undefined {
  if (frameBytes > session.maxMessageBytes) {
    throw gettyError(
      'MESSAGE_TOO_LARGE',
      `${session.remoteAddress} announces a message of ${frameBytes} bytes; maxMessageBytes is ${session.maxMessageBytes}`,
    );
  }
  if (input.length < frameBytes) {
    input.want(frameBytes);
    return undefined;
  }
  return input.take(frameBytes - strippedBytes, strippedBytes);
}
