/** Ready codecs. They keep no state, so one object may serve all sessions. */

import { type Bytes, copy, encode, find } from '../core/bytes.js';
import { refusePromise } from '../core/callbacks.js';
import { gettyError, messageOf } from '../core/errors.js';
import { badOption, checkNames, checkNumber, type NamesOf } from '../core/options.js';
import type { ByteReader } from './buffers/byte-reader.js';
import type { ByteWriter } from './buffers/byte-writer.js';
import { MAX_DECODED_OBJECTS, parseJson } from './json-text.js';
import type { Codec, Session } from './types.js';

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** With the flag `u` a whole pair is one character, and does not match. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;

/**
 * A codec of plain bytes: each message has the bytes of one read, at most maxMessageBytes. A
 * message is a view that stays valid and keeps its whole chunk in memory; copy what you keep.
 */
export function raw(): Codec<Bytes, Uint8Array> {
  return {
    read: (input, session) => input.take(Math.min(input.length, session.maxMessageBytes)),
    write: (output, message) => output.append(message),
  };
}

/** The text up to `\n` or `\r\n`, without it; undefined while there is none. */
function takeLine(input: ByteReader): string | undefined {
  const length = input.indexOf(NEWLINE);
  if (length < 0) return undefined;
  const end = length > 0 && input.peek(length - 1) === CARRIAGE_RETURN ? length - 1 : length;
  const line = input.takeText(end);
  input.skip(length - end + 1);
  return line;
}

/**
 * A codec of text lines in UTF-8. It reads up to `\n` or `\r\n`, which is not part of the message,
 * and writes `\n`. Writing throws ENCODE_FAILED for a text that would not arrive unchanged: a text
 * that contains `\n` or a lone surrogate, or ends with `\r`.
 */
export function lines(): Codec<string> {
  return {
    read: takeLine,
    write(output, line) {
      if (line.includes('\n'))
        throw gettyError(
          'ENCODE_FAILED',
          'a line must not hold a newline: it would arrive as two messages',
        );
      if (line.endsWith('\r'))
        throw gettyError(
          'ENCODE_FAILED',
          'a line must not end in a carriage return: it would arrive without it',
        );
      const size = output.text(line);
      // Text of ASCII alone takes a byte a character, and holds none.
      if (size !== line.length && LONE_SURROGATE.test(line)) {
        throw gettyError(
          'ENCODE_FAILED',
          'a line must not hold half of a surrogate pair: UTF-8 has no form for it',
        );
      }
      output.uint8(NEWLINE);
    },
  };
}

export interface JsonLinesOptions {
  /**
   * The most values of one line, in all its arrays and objects. The name of a property counts as a
   * value. A line with more closes the session with BAD_FRAME. From 1. Default: 100,000.
   */
  maxDecodedObjects?: number | undefined;
}

const JSON_LINES_NAMES = { maxDecodedObjects: true } satisfies NamesOf<JsonLinesOptions>;
/** What JSON allows around a value: space, tab, newline and carriage return. */
const isSpace = (byte: number | undefined): boolean =>
  byte === NEWLINE || byte === CARRIAGE_RETURN || byte === 0x20 || byte === 0x09;

/** A run of empty lines costs one step a byte, because a peer may send millions of them at once. */
function skipSpace(input: ByteReader): void {
  const { bytes, position, end } = input;
  let at = position;
  while (at < end && isSpace(bytes[at])) at++;
  if (at > position) input.skip(at - position);
}

/**
 * A codec of one JSON value per line (NDJSON). Empty lines are skipped. A line closes the session
 * with BAD_FRAME if it is no JSON, has more than 100 levels, or has more than `maxDecodedObjects`
 * values. A key `__proto__` is an own property of the object: do not merge objects of a peer into
 * others unchecked. Throws BAD_OPTION.
 */
export function jsonLines<In = unknown, Out = In>(options: JsonLinesOptions = {}): Codec<In, Out> {
  if (typeof options !== 'object' || options === null)
    throw badOption('options', options, 'an object');
  checkNames('jsonLines()', options, JSON_LINES_NAMES);
  const { maxDecodedObjects = MAX_DECODED_OBJECTS } = options;
  checkNumber('maxDecodedObjects', maxDecodedObjects, 1, Number.POSITIVE_INFINITY);
  return {
    read(input) {
      skipSpace(input);
      const length = input.indexOf(NEWLINE);
      if (length < 0) return undefined;
      const { bytes, position } = input;
      input.skip(length + 1);
      try {
        return parseJson(bytes, position, position + length, maxDecodedObjects) as In;
      } catch (error) {
        const isTooMany = error instanceof RangeError;
        throw gettyError(
          'BAD_FRAME',
          `a line of ${length} bytes ${isTooMany ? 'is too much' : 'is no JSON'}: ${messageOf(error)}`,
          error,
        );
      }
    },
    write(output, message) {
      const text = jsonOf(message);
      if (text === undefined)
        throw gettyError('ENCODE_FAILED', `a ${typeof message} has no JSON form`);
      output.text(text);
      output.uint8(NEWLINE);
    },
  };
}

/**
 * Throws ENCODE_FAILED where JSON.stringify() throws: for a circular object, a bigint, or a
 * toJSON() that throws.
 */
function jsonOf(message: unknown): string | undefined {
  try {
    return JSON.stringify(message);
  } catch (error) {
    throw gettyError('ENCODE_FAILED', `the message has no JSON form: ${messageOf(error)}`, error);
  }
}

/**
 * A codec of bytes up to a delimiter, which is not part of the message. A message is a view that
 * stays valid and keeps its whole chunk in memory; copy what you keep. Writing throws ENCODE_FAILED
 * for a message in which the reader would find the delimiter too early.
 */
export function delimiter(mark: string | Uint8Array): Codec<Bytes, Uint8Array> {
  if ((typeof mark !== 'string' && !(mark instanceof Uint8Array)) || mark.length === 0)
    throw badOption('delimiter', mark, 'at least one character or byte');
  const bytes = typeof mark === 'string' ? encode(mark) : copy(mark);
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
          'a message must not hold the delimiter, nor end in its beginning so that it is found too soon',
        );
      }
    },
  };
}

/**
 * A codec of messages of `length` bytes. A message is a view that stays valid and keeps its whole
 * chunk in memory; copy what you keep. Writing a message of another length throws ENCODE_FAILED.
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

/**
 * Takes a message of `total` bytes without its first `strip` bytes; undefined while it is
 * incomplete. Throws MESSAGE_TOO_LARGE before the message has arrived.
 */
function takeWhole(
  input: ByteReader,
  session: Session<never, never>,
  total: number,
  strip: number,
): Bytes | undefined {
  if (total > session.maxMessageBytes) {
    throw gettyError(
      'MESSAGE_TOO_LARGE',
      `${session.remoteAddress} announces a message of ${total} bytes; maxMessageBytes is ${session.maxMessageBytes}`,
    );
  }
  if (input.length < total) {
    input.want(total);
    return undefined;
  }
  return input.take(total - strip, strip);
}

export interface LengthPrefixedOptions {
  /** Bytes of the length field: 1, 2, 3, 4 or 8. Default: 4. */
  width?: 1 | 2 | 3 | 4 | 8 | undefined;
  /** Default: false, big-endian. */
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

const LENGTH_PREFIXED_NAMES = {
  width: true,
  littleEndian: true,
  offset: true,
  adjustment: true,
  strip: true,
} satisfies NamesOf<LengthPrefixedOptions>;

/**
 * A codec of a length field and as many bytes. A message is a view without the stripped bytes; it
 * stays valid and keeps its whole chunk in memory; copy what you keep. Writing puts zeros in place
 * of the stripped bytes, then the message, and sets the length field. With `strip: 0` the message
 * is the whole frame. Throws BAD_OPTION.
 */
export function lengthPrefixed(options: LengthPrefixedOptions = {}): Codec<Bytes, Uint8Array> {
  if (typeof options !== 'object' || options === null)
    throw badOption('options', options, 'an object');
  checkNames('lengthPrefixed()', options, LENGTH_PREFIXED_NAMES);
  const { width = 4, littleEndian = false, offset = 0, adjustment = 0 } = options;
  if (typeof littleEndian !== 'boolean') throw badOption('littleEndian', littleEndian, 'a boolean');
  if (![1, 2, 3, 4, 8].includes(width)) throw badOption('width', width, '1, 2, 3, 4 or 8');
  if (!Number.isInteger(offset) || offset < 0)
    throw badOption('offset', offset, 'a whole number of bytes from 0');
  if (!Number.isInteger(adjustment))
    throw badOption('adjustment', adjustment, 'a whole number of bytes');
  const head = offset + width;
  const { strip = head } = options;
  if (!Number.isInteger(strip) || strip < 0 || strip > head)
    throw badOption('strip', strip, `a whole number of bytes from 0 to ${head}`);
  const limit = width === 8 ? Number.MAX_SAFE_INTEGER : 2 ** (8 * width) - 1;
  return {
    read(input, session) {
      if (input.length < head) return undefined;
      const length = readLength(input.bytes, input.position + offset, width, littleEndian);
      const total = head + length + adjustment;
      if (total < head)
        throw gettyError(
          'BAD_FRAME',
          `${session.remoteAddress} announces a length of ${length}, which with the adjustment of ${adjustment} is negative`,
        );
      return takeWhole(input, session, total, strip);
    },
    write(output, message) {
      const total = strip + message.length;
      const at = output.reserve(total);
      const { bytes } = output;
      // Without an offset the field counts all bytes after it.
      if (offset > 0) bytes.fill(0, at, at + strip);
      bytes.set(message, at + strip);
      const length = total - head - adjustment;
      if (total < head || length < 0 || length > limit) {
        throw gettyError(
          'ENCODE_FAILED',
          `a message of ${message.length} bytes does not fit: its length field of ${width} bytes would hold ${length}`,
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
  // A DataView for each chunk costs more than it saves where a chunk has one message.
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

/**
 * A codec of Protobuf's delimited streams: a length as a varint of at most 5 bytes, and as many
 * bytes. A message is a view that stays valid and keeps its whole chunk in memory; copy what you
 * keep.
 */
export function varintPrefixed(): Codec<Bytes, Uint8Array> {
  return {
    read(input, session) {
      let length = 0;
      for (let i = 0; i < 5; i++) {
        const byte = input.peek(i);
        if (byte === undefined) return undefined;
        length += (byte & 0x7f) * 2 ** (7 * i);
        if (byte < 0x80) return takeWhole(input, session, i + 1 + length, i + 1);
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

/**
 * A codec that converts the messages of another codec. `decode` converts a message of `codec` that
 * was read; `encode` converts a message that is written. An exception of `decode` closes the
 * session with BAD_FRAME. An exception of `encode` is thrown to the writer, and nothing is sent.
 * Both must be synchronous: a promise counts as an exception.
 */
export function mapCodec<In, Out, MappedIn, MappedOut = MappedIn>(
  codec: Codec<In, Out>,
  decode: (message: In) => MappedIn,
  encode: (message: MappedOut) => Out,
): Codec<MappedIn, MappedOut> {
  if (typeof codec?.read !== 'function' || typeof codec.write !== 'function')
    throw badOption('codec', codec, 'an object with read and write');
  if (typeof decode !== 'function') throw badOption('decode', decode, 'a function');
  if (typeof encode !== 'function') throw badOption('encode', encode, 'a function');
  return {
    read(input, session) {
      const message = codec.read(input, session as unknown as Session<In, Out>);
      if (message === undefined) return undefined;
      const mapped = decode(message);
      refusePromise('BAD_FRAME', 'decode of mapCodec()', mapped);
      if (mapped === undefined)
        throw gettyError(
          'BAD_FRAME',
          'decode of mapCodec() answered undefined for a whole message',
        );
      return mapped;
    },
    write(output, message, session) {
      const mapped = encode(message);
      refusePromise('ENCODE_FAILED', 'encode of mapCodec()', mapped);
      return codec.write(output, mapped, session as unknown as Session<In, Out>);
    },
  };
}
