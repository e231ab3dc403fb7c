/** The codec of a length field and a message. */
import type { Bytes } from '../../core/bytes.js';
import { gettyError } from '../../core/errors.js';
import { badOption, checkNames, type NamesOf } from '../../core/options.js';
import type { Codec } from '../types.js';
import { takePrefixedMessage } from './prefixed-message.js';

/** Options of lengthPrefixed(). Sizes are in bytes. */
export interface LengthPrefixedOptions {
  /** Bytes of the length field: 1, 2, 3, 4 or 8. Default: 4. */
  width?: 1 | 2 | 3 | 4 | 8 | undefined;
  /** Whether the length field is little-endian. Default: false, big-endian. */
  littleEndian?: boolean | undefined;
  /** Bytes before the length field. Default: 0. */
  offset?: number | undefined;
  /**
   * Added to the value of the field to get the number of bytes after it. It is negative if the
   * field counts itself or bytes before it. Default: 0.
   */
  adjustment?: number | undefined;
  /**
   * Bytes at the beginning that are not part of the message. Default: all bytes up to the end of
   * the length field.
   */
  strip?: number | undefined;
}

const OPTION_NAMES = {
  width: true,
  littleEndian: true,
  offset: true,
  adjustment: true,
  strip: true,
} satisfies NamesOf<LengthPrefixedOptions>;

/**
 * A codec of a length field and as many bytes. A message is a view without the stripped bytes; it
 * stays valid and keeps its whole chunk in memory: up to 64 KiB, or more if it spans chunks. Copy
 * what you keep. With `strip: 0` the message is the whole frame.
 *
 * Writing puts zeros in place of the stripped bytes, then the message, and sets the length field.
 * It throws ENCODE_FAILED if the length does not fit the field. lengthPrefixed() throws BAD_OPTION.
 */
export function lengthPrefixed(options: LengthPrefixedOptions = {}): Codec<Bytes, Uint8Array> {
  checkNames('lengthPrefixed()', options, OPTION_NAMES);
  const { width = 4, littleEndian = false, offset = 0, adjustment = 0 } = options;
  if (typeof littleEndian !== 'boolean') throw badOption('littleEndian', littleEndian, 'a boolean');
  if (![1, 2, 3, 4, 8].includes(width)) throw badOption('width', width, '1, 2, 3, 4 or 8');
  if (!Number.isInteger(offset) || offset < 0)
    throw badOption('offset', offset, 'a whole number of bytes from 0');
  if (!Number.isInteger(adjustment))
    throw badOption('adjustment', adjustment, 'a whole number of bytes');
  const headerBytes = offset + width;
  const { strip = headerBytes } = options;
  if (!Number.isInteger(strip) || strip < 0 || strip > headerBytes)
    throw badOption('strip', strip, `a whole number of bytes from 0 to ${headerBytes}`);
  const maxLength = width === 8 ? Number.MAX_SAFE_INTEGER : 2 ** (8 * width) - 1;
  return {
    read(input, session) {
      if (input.length < headerBytes) return undefined;
      const length = readLength(input.bytes, input.position + offset, width, littleEndian);
      const frameBytes = headerBytes + length + adjustment;
      if (frameBytes < headerBytes)
        throw gettyError(
          'BAD_FRAME',
          `${session.remoteAddress} announces a length of ${length}, which with the adjustment of ${adjustment} is negative`,
        );
      return takePrefixedMessage(input, session, frameBytes, strip);
    },
    write(output, message) {
      const at = output.reserve(strip);
      // Without an offset the length field covers all stripped bytes.
      if (offset > 0) output.bytes.fill(0, at, at + strip);
      output.append(message);
      const frameBytes = output.length - at;
      const length = frameBytes - headerBytes - adjustment;
      if (frameBytes < headerBytes || length < 0 || length > maxLength) {
        throw gettyError(
          'ENCODE_FAILED',
          `a message of ${message.length} bytes does not fit: its length field of ${width} bytes would contain ${length}`,
        );
      }
      writeLength(output.view, at + offset, width, littleEndian, length);
    },
  };
}

/**
 * The number of `width` bytes at `at`. A number above 2^53 loses precision, but is too large for
 * any message.
 */
function readLength(bytes: Bytes, at: number, width: number, littleEndian: boolean): number {
  // If each chunk has one message, to create a DataView costs more than these additions.
  let value = 0;
  if (littleEndian)
    for (let i = width - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] as number);
  else for (let i = 0; i < width; i++) value = value * 256 + (bytes[at + i] as number);
  return value;
}

function writeLength(
  view: DataView,
  at: number,
  width: 1 | 2 | 3 | 4 | 8,
  littleEndian: boolean,
  length: number,
): void {
  if (width === 4) view.setUint32(at, length, littleEndian);
  else if (width === 2) view.setUint16(at, length, littleEndian);
  else if (width === 1) view.setUint8(at, length);
  else if (width === 3) {
    view.setUint8(littleEndian ? at : at + 2, length & 0xff);
    view.setUint16(littleEndian ? at + 1 : at, length >>> 8, littleEndian);
  } else view.setBigUint64(at, BigInt(length), littleEndian);
}
