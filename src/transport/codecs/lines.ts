/** The codec of text lines. */
import { gettyError } from '../../core/errors.js';
import type { ByteReader } from '../buffers/byte-reader.js';
import type { Codec } from '../types.js';

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** With the flag `u` a complete pair is one character, and does not match. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;

/**
 * A codec of text lines in UTF-8. It reads up to `\n` or `\r\n`, which is not part of the message,
 * and writes `\n`.
 *
 * Writing throws ENCODE_FAILED for a text that would not arrive unchanged: a text that contains
 * `\n` or a lone surrogate, or ends with `\r`.
 */
export function lines(): Codec<string> {
  return {
    read: takeLine,
    write(output, line) {
      if (line.includes('\n'))
        throw gettyError(
          'ENCODE_FAILED',
          'a line must not contain a newline: it would arrive as two messages',
        );
      if (line.endsWith('\r'))
        throw gettyError(
          'ENCODE_FAILED',
          'a line must not end with a carriage return: the reader would remove it',
        );
      const byteCount = output.text(line);
      // A text of ASCII characters has one byte per character, and no surrogate.
      if (byteCount !== line.length && LONE_SURROGATE.test(line)) {
        throw gettyError(
          'ENCODE_FAILED',
          'a line must not contain a lone surrogate: UTF-8 cannot encode it',
        );
      }
      output.uint8(NEWLINE);
    },
  };
}

/** Takes a line and its end. Returns the line without its end; undefined while it is incomplete. */
function takeLine(input: ByteReader): string | undefined {
  const length = input.indexOf(NEWLINE);
  if (length < 0) return undefined;
  const end = length > 0 && input.peek(length - 1) === CARRIAGE_RETURN ? length - 1 : length;
  const line = input.takeText(end);
  input.skip(length - end + 1);
  return line;
}
