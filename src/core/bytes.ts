/**
 * Operations on bytes, implemented with Buffer for Node.js, where its native functions are faster,
 * and with Uint8Array for browsers. The implementation is chosen once, when this module is loaded.
 */
import { badOption } from './options.js';

/** The type of a session's bytes: Buffer where the program has that type, else Uint8Array. */
export type Bytes = typeof globalThis extends {
  Buffer: { isBuffer(given: unknown): given is infer B extends Uint8Array };
}
  ? B
  : Uint8Array;

/** The supported encodings of text. In browsers: `utf8` and `latin1`. */
export type Encoding = typeof globalThis extends {
  Buffer: { isEncoding(given: string): given is infer E extends string };
}
  ? E
  : 'utf8' | 'latin1';

export interface ByteTools {
  /** A buffer with memory of its own. In Node.js its content is not initialized. */
  allocate(size: number): Bytes;
  copy(bytes: Uint8Array): Bytes;
  /**
   * A view of `length` bytes of `buffer` from `offset` on. Default: of all bytes. Throws RangeError
   * if the view would not be within the buffer.
   */
  wrap(buffer: ArrayBufferLike, offset?: number, length?: number): Bytes;
  /** `text` as UTF-8. A lone surrogate becomes U+FFFD. */
  encode(text: string): Bytes;
  /** The length of encode(text) in bytes. */
  textBytes(text: string): number;
  /**
   * Writes `text` as UTF-8 at `at`, and returns the number of bytes. `into` must have space for
   * three bytes for each UTF-16 unit.
   */
  writeText(into: Bytes, at: number, text: string): number;
  /** Text from the bytes between `start` and `end`. */
  decode(bytes: Bytes, start: number, end: number, encoding?: Encoding): string;
  /** The first index from `from` on where `pattern`, one byte or several, begins; or -1. */
  find(bytes: Bytes, pattern: number | Uint8Array, from: number): number;
}

/** The native method that Buffer.toString() calls. A direct call takes half of the time. */
interface NativeBuffer {
  /** Throws RangeError when `end` is behind the end of the buffer. */
  utf8Slice?(this: Uint8Array, start: number, end: number): string;
}

type WrapBuffer = new (buffer: ArrayBufferLike, offset?: number, length?: number) => Bytes;

/**
 * The class of which Node.js makes each Buffer. Its constructor takes a third of the time of
 * Buffer.from() and of subarray().
 */
function nodeWrap(Buffer: BufferConstructor): ByteTools['wrap'] {
  const Class = (Buffer as { [Symbol.species]?: WrapBuffer })[Symbol.species];
  if (Class === undefined || Class.prototype !== Buffer.prototype)
    return (buffer, offset, length) => Buffer.from(buffer as ArrayBuffer, offset, length);
  return (buffer, offset, length) => new Class(buffer, offset, length);
}

function nodeTools(Buffer: BufferConstructor): ByteTools {
  return {
    allocate: (size) => Buffer.allocUnsafeSlow(size),
    copy: (bytes) => Buffer.from(bytes),
    wrap: nodeWrap(Buffer),
    encode: (text) => Buffer.from(text),
    textBytes: (text) => Buffer.byteLength(text),
    writeText: (into, at, text) => into.write(text, at, 'utf8'),
    decode: nodeDecoder(Buffer),
    find: (bytes, pattern, from) => bytes.indexOf(pattern, from),
  };
}

function nodeDecoder(Buffer: BufferConstructor): ByteTools['decode'] {
  const { utf8Slice } = Buffer.prototype as NativeBuffer;
  if (utf8Slice === undefined)
    return (bytes, start, end, encoding) => bytes.toString(encoding, start, end);
  return (bytes, start, end, encoding = 'utf8') => {
    if (encoding !== 'utf8') return bytes.toString(encoding, start, end);
    return start < end ? utf8Slice.call(bytes, start, end) : '';
  };
}

const encoder = new TextEncoder();
// A byte order mark stays in the text, as with Buffer.
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function findArray(bytes: Uint8Array, pattern: Uint8Array, from: number): number {
  const [first = 0] = pattern;
  const last = bytes.length - pattern.length;
  for (
    let at = bytes.indexOf(first, from);
    at >= 0 && at <= last;
    at = bytes.indexOf(first, at + 1)
  ) {
    let same = 1;
    while (same < pattern.length && bytes[at + same] === pattern[same]) same++;
    if (same >= pattern.length) return at;
  }
  return -1;
}

function decodeArray(
  bytes: Uint8Array,
  start: number,
  end: number,
  encoding: string = 'utf8',
): string {
  if (encoding === 'utf8') return decoder.decode(bytes.subarray(start, end));
  if (encoding !== 'latin1')
    throw badOption('encoding', encoding, "'utf8' or 'latin1' in a browser");
  let text = '';
  for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at] as number);
  return text;
}

/** The implementation for browsers. */
export const WEB_TOOLS: ByteTools = {
  allocate: (size) => new Uint8Array(size) as Bytes,
  copy: (bytes) => new Uint8Array(bytes) as Bytes,
  wrap: (buffer, offset, length) => new Uint8Array(buffer, offset, length) as Bytes,
  encode: (text) => encoder.encode(text) as Bytes,
  textBytes: (text) => encoder.encode(text).length,
  writeText: (into, at, text) => encoder.encodeInto(text, into.subarray(at)).written,
  decode: decodeArray,
  find: (bytes, pattern, from) =>
    typeof pattern === 'number' ? bytes.indexOf(pattern, from) : findArray(bytes, pattern, from),
};

/** The implementation that this program uses. */
export const TOOLS: ByteTools =
  globalThis.Buffer === undefined ? WEB_TOOLS : nodeTools(globalThis.Buffer);

export const { allocate, copy, wrap, encode, textBytes, writeText, decode, find } = TOOLS;

/**
 * The bytes from `start` to `end`, for a caller that keeps them: a view if they are at least half
 * of their buffer, else a copy. So at most twice their length stays in memory. The copy does not
 * use Buffer.from(), which takes small buffers from a pool: each one would keep the whole pool in
 * memory.
 */
export function keepable(bytes: Bytes, start: number, end: number): Bytes {
  const length = end - start;
  if (length * 2 >= bytes.buffer.byteLength) return bytes.subarray(start, end);
  const own = allocate(length);
  own.set(bytes.subarray(start, end), 0);
  return own;
}

const TYPED_ARRAY: object = Object.getPrototypeOf(Uint8Array.prototype);
const tagOf = getterOf(Symbol.toStringTag);
const lengthOf = getterOf('length');

function getterOf(name: PropertyKey): (this: unknown) => unknown {
  return Object.getOwnPropertyDescriptor(TYPED_ARRAY, name)?.get as () => unknown;
}

/**
 * Also true for a Uint8Array of another realm (a vm context, a test runner). False for a Proxy.
 * Runs no code of the value, and never throws.
 */
export function isBytes(value: unknown): value is Uint8Array {
  return tagOf.call(value) === 'Uint8Array';
}

/** The number of bytes in memory: a subclass or a property can give `length` another value. */
export function memoryLength(bytes: Uint8Array): number {
  return lengthOf.call(bytes) as number;
}

/**
 * Returns a copy of the text. A part of a longer text, such as a result of slice(), keeps the whole
 * text in memory.
 */
export function copyText(text: string): string {
  return ` ${text}`.slice(1);
}
