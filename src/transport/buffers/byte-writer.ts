/**
 * The buffer to which codecs append encoded messages. All messages of a flush are contiguous,
 * because one large write costs less than many small ones. Numbers are written by a DataView, which
 * V8 compiles to plain stores.
 */
import { allocate, type Bytes, isBytes, memoryLength, writeText } from '../../core/bytes.js';
import { badOption } from '../../core/options.js';

/** A session flushes before its tick ends when this many bytes are queued. */
export const FLUSH_BYTES = 64 * 1024;
/**
 * Sizes of the buffers in the pools, in bytes. A buffer that waits for a slow peer waits as a
 * whole, and 1,000 sessions may write in one tick, so a session that writes little gets a small
 * buffer. In most cases the largest buffer also has room for the message that exceeds FLUSH_BYTES.
 */
export const WRITER_SIZES = [2 * 1024, 16 * 1024, FLUSH_BYTES + 16 * 1024] as const;
const [SMALL, MIDDLE, LARGE] = WRITER_SIZES;
/** append() copies fewer bytes in a loop: a native call takes more time. */
const MAX_LOOP_BYTES = 16;
const NONE = allocate(0);
const NONE_VIEW = new DataView(NONE.buffer, 0, 0);
const POOL_LIMITS = [1024, 16, 16] as const;
const pools: ByteWriter[][] = WRITER_SIZES.map(() => []);

/** The index of the pool for `bytes` bytes; the last one if no pool has buffers of that size. */
function poolFor(bytes: number): number {
  return bytes <= SMALL ? 0 : bytes <= MIDDLE ? 1 : 2;
}

// Created in a function of its own, so that V8 can inline reserve().
const countError = (count: unknown): RangeError =>
  new RangeError(`cannot add ${String(count)} bytes: the number must be an integer from 0`);

const lengthError = (bytes: Uint8Array): Error =>
  badOption('bytes', bytes, 'a Uint8Array whose `length` is the number of its bytes');

/**
 * The `output` of Codec.write(). A codec appends the encoded message with append(), text() and the
 * methods for numbers, or with reserve() and `bytes`.
 */
export class ByteWriter {
  #bytes: Bytes;
  #view: DataView;
  #length = 0;
  /** Where the message of the codec begins. `length` cannot be set to less. */
  #start = 0;
  /** The largest length of this message before `length` was set to less. */
  #reserved = 0;
  /**
   * A codec sets it to send this message as text (true) or binary (false) on a WebSocket. Default:
   * the option `websocket.text`.
   */
  asText: boolean | undefined = undefined;
  #written: Bytes = NONE;

  constructor(
    capacity: number = SMALL,
    bytes: Bytes = allocate(capacity),
    view: DataView = new DataView(bytes.buffer),
  ) {
    this.#bytes = bytes;
    this.#view = view;
  }

  /** The bytes before `length` are written. The rest is not initialized and is never sent. */
  get bytes(): Bytes {
    return this.#bytes;
  }

  /** A DataView of `bytes`. */
  get view(): DataView {
    return this.#view;
  }

  /**
   * The number of written bytes. A codec may set it to remove bytes that it has added, and to add
   * them again. Throws BAD_OPTION for a length before its message, or beyond what it has reserved.
   */
  get length(): number {
    return this.#length;
  }

  set length(length: number) {
    const reserved = Math.max(this.#reserved, this.#length);
    // The bytes behind may be those of another session, because buffers are used again.
    if (!Number.isInteger(length) || length < this.#start || length > reserved)
      throw badOption('length', length, `an integer from ${this.#start} to ${reserved}`);
    this.#reserved = reserved;
    this.#length = length;
  }

  /** The codec of the next message begins. It cannot remove what is written before. */
  static beginMessage(writer: ByteWriter): void {
    writer.#start = writer.#length;
    writer.#reserved = 0;
  }

  /** Sets `length` without a check. The bytes before `length` must be written. */
  static setLength(writer: ByteWriter, length: number): void {
    writer.#length = length;
  }

  /** Takes an empty writer for about `bytes` bytes from the pool. */
  static borrow(bytes = 0): ByteWriter {
    const at = poolFor(bytes);
    const writer = pools[at]?.pop();
    if (writer === undefined) return new ByteWriter(WRITER_SIZES[at]);
    writer.#length = 0;
    writer.#start = 0;
    writer.#reserved = 0;
    return writer;
  }

  /** Returns a writer to the pool. There must be no view of its bytes. */
  static release(writer: ByteWriter): void {
    const size = writer.#bytes.length;
    const at = poolFor(size);
    const pool = pools[at] as ByteWriter[];
    if (size !== WRITER_SIZES[at] || pool.length >= (POOL_LIMITS[at] as number)) return;
    pool.push(writer);
  }

  /** Whether aliasOf() accepts `bytes`: release() would put a writer of these sizes into a pool. */
  static canAlias(bytes: Bytes): boolean {
    const size = bytes.length;
    return size !== 0 && size !== SMALL && size !== MIDDLE && size !== LARGE;
  }

  /**
   * A writer that has written `bytes`, which it never changes: it continues in a copy. Do not set
   * its length to less than that of `bytes`.
   */
  static aliasOf(bytes: Bytes): ByteWriter {
    const writer = new ByteWriter(0, bytes, NONE_VIEW);
    writer.#length = bytes.length;
    writer.#written = bytes;
    return writer;
  }

  /**
   * A view of the written bytes. The last view is kept, because messages often have the same size,
   * and creating a view takes 40 ns.
   */
  get written(): Bytes {
    if (this.#written.length !== this.#length)
      this.#written = this.#bytes.subarray(0, this.#length);
    return this.#written;
  }

  /**
   * Adds `count` bytes and returns where they begin. The caller must write each of them. Throws
   * RangeError if `count` is no integer from 0 to 2 ** 32 - 1.
   */
  reserve(count: number): number {
    if (count >>> 0 !== count) throw countError(count);
    const at = this.#length;
    const end = at + count;
    if (end > this.#bytes.length) this.#grow(end);
    this.#length = end;
    return at;
  }

  #grow(needed: number): void {
    const bytes = allocate(
      needed > LARGE
        ? Math.max(needed, this.#bytes.length * 2)
        : (WRITER_SIZES[poolFor(needed)] as number),
    );
    bytes.set(this.written, 0);
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
    this.#written = NONE;
  }

  /**
   * Leaves the buffer to the owner of its views. Afterwards the writer is empty, and allocates a
   * buffer for the next byte.
   */
  detach(): void {
    this.#bytes = NONE;
    this.#view = NONE_VIEW;
    this.#written = NONE;
    this.#length = 0;
  }

  /** Adds a copy of `bytes`. Throws BAD_OPTION if it is no Uint8Array, or has another length. */
  append(bytes: Uint8Array): void {
    // `instanceof` takes less time.
    if (!(bytes instanceof Uint8Array) && !isBytes(bytes))
      throw badOption('bytes', bytes, 'a Uint8Array');
    const { length } = bytes;
    // set() would leave what is in the buffer after the bytes in memory. The loop writes zeros.
    if (length > MAX_LOOP_BYTES && memoryLength(bytes) !== length) throw lengthError(bytes);
    const at = this.reserve(length);
    if (length > MAX_LOOP_BYTES) return this.#bytes.set(bytes, at);
    const own = this.#bytes;
    for (let i = 0; i < length; i++) own[at + i] = bytes[i] as number;
  }

  // Numbers: big-endian unless `littleEndian`. A value out of range is reduced to its low bits, as
  // a DataView does. Signed and unsigned values have the same bytes.

  uint8(value: number): void {
    const at = this.reserve(1);
    this.#bytes[at] = value;
  }

  int8(value: number): void {
    this.uint8(value);
  }

  uint16(value: number, littleEndian = false): void {
    const at = this.reserve(2);
    this.#view.setUint16(at, value, littleEndian);
  }

  int16(value: number, littleEndian = false): void {
    this.uint16(value, littleEndian);
  }

  uint24(value: number, littleEndian = false): void {
    const at = this.reserve(3);
    this.#view.setUint8(littleEndian ? at : at + 2, value & 0xff);
    this.#view.setUint16(littleEndian ? at + 1 : at, value >> 8, littleEndian);
  }

  int24(value: number, littleEndian = false): void {
    this.uint24(value, littleEndian);
  }

  uint32(value: number, littleEndian = false): void {
    const at = this.reserve(4);
    this.#view.setUint32(at, value, littleEndian);
  }

  int32(value: number, littleEndian = false): void {
    this.uint32(value, littleEndian);
  }

  uint64(value: bigint, littleEndian = false): void {
    const at = this.reserve(8);
    this.#view.setBigUint64(at, value, littleEndian);
  }

  int64(value: bigint, littleEndian = false): void {
    this.uint64(value, littleEndian);
  }

  float32(value: number, littleEndian = false): void {
    const at = this.reserve(4);
    this.#view.setFloat32(at, value, littleEndian);
  }

  float64(value: number, littleEndian = false): void {
    const at = this.reserve(8);
    this.#view.setFloat64(at, value, littleEndian);
  }

  /** Append text as UTF-8 and return how many bytes it took. */
  text(value: string): number {
    const length = value.length;
    // A native call costs more than a short loop over ASCII.
    if (length <= 40) {
      const at = this.reserve(length);
      const bytes = this.#bytes;
      let i = 0;
      for (; i < length; i++) {
        const unit = value.charCodeAt(i);
        if (unit > 127) break;
        bytes[at + i] = unit;
      }
      if (i === length) return length;
      this.#length = at;
    }
    const at = this.reserve(length * 3);
    const written = writeText(this.#bytes, at, value);
    this.#length = at + written;
    return written;
  }
}
