/** Ready codecs. Each call makes one; none keeps state, so one object may serve all sessions. */
import { gettyError } from '../errors.js';
import { badOption } from '../options.js';
import type { Codec } from './types.js';

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Bytes as they come: each message is what one read brought, at most maxMessageBytes. A message is a view; it stays valid. */
export function raw(): Codec<Buffer, Uint8Array> {
  return {
    read: (input, session) => input.take(Math.min(input.length, session.maxMessageBytes)),
    write: (output, message) => output.append(message),
  };
}

/**
 * Text lines in UTF-8. Reads up to `\n` or `\r\n`, which is not part of the message; writes `\n`. Writing a text that
 * holds a newline throws ENCODE_FAILED: it would arrive as two messages.
 */
export function lines(): Codec<string> {
  return {
    read(input) {
      const length = input.indexOf(NEWLINE);
      if (length < 0) return undefined;
      const end = length > 0 && input.peek(length - 1) === CARRIAGE_RETURN ? length - 1 : length;
      const line = input.takeText(end);
      input.skip(length - end + 1);
      return line;
    },
    write(output, line) {
      if (line.includes('\n')) throw gettyError('ENCODE_FAILED', 'a line must not hold a newline: it would arrive as two messages');
      output.text(line);
      output.uint8(NEWLINE);
    },
  };
}

export interface LengthPrefixedOptions {
  /** Bytes of the length field: 1, 2 or 4. */
  width?: 1 | 2 | 4;
  littleEndian?: boolean;
}

/** A length, then so many bytes. A message is a view without its prefix; it stays valid. */
export function lengthPrefixed({ width = 4, littleEndian = false }: LengthPrefixedOptions = {}): Codec<Buffer, Uint8Array> {
  if (![1, 2, 4].includes(width)) throw badOption('width', width, '1, 2 or 4');
  const limit = 2 ** (8 * width) - 1;
  return {
    read(input, session) {
      if (input.length < width) return undefined;
      const { view, position } = input;
      const length =
        width === 4 ? view.getUint32(position, littleEndian) : width === 2 ? view.getUint16(position, littleEndian) : view.getUint8(position);
      const total = width + length;
      if (total > session.maxMessageBytes) {
        throw gettyError('MESSAGE_TOO_LARGE', `${session.remoteAddress} announces a message of ${total} bytes; maxMessageBytes is ${session.maxMessageBytes}`);
      }
      if (input.length < total) {
        input.want(total);
        return undefined;
      }
      input.skip(width);
      return input.take(length);
    },
    write(output, message) {
      const { length } = message;
      if (length > limit) throw gettyError('ENCODE_FAILED', `a message of ${length} bytes does not fit a length field of ${width} bytes`);
      if (width === 4) output.uint32(length, littleEndian);
      else if (width === 2) output.uint16(length, littleEndian);
      else output.uint8(length);
      output.append(message);
    },
  };
}
