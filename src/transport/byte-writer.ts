/**
 * Where codecs append encoded messages: one contiguous buffer for all messages of a flush, because one large write costs
 * the system a fraction of many small ones. Numbers go through a DataView, which V8 compiles to plain stores.
 */
import { allocate, type Bytes, writeText } from './bytes.js';

/** The size at which a session flushes before its tick is over. */
export const FLUSH_BYTES = 64 * 1024;
/** What a tick mostly needs no more than. A buffer that waits for a slow peer waits as a whole, so it begins small. */
export const SMALL_WRITER_BYTES = 16 * 1024;
/** So that a message which passes FLUSH_BYTES mostly still fits. */
export const LARGE_WRITER_BYTES = FLUSH_BYTES + SMALL_WRITER_BYTES;
const NONE = allocate(0);
const NONE_VIEW = new DataView(NONE.buffer, 0, 0);
const POOL_LIMIT = 16;
const pool: ByteWriter[] = [];
const largePool: ByteWriter[] = [];

export class ByteWriter {
  /** Bytes before `length` are written; what comes after is not initialised and never leaves. */
  bytes: Bytes;
  view: DataView;
  length = 0;

  constructor(capacity = SMALL_WRITER_BYTES) {
    this.bytes = allocate(capacity);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Borrow an empty writer; idle sessions hold none. `large`: it will have to hold more than SMALL_WRITER_BYTES. */
  static borrow(large = false): ByteWriter {
    return large ? (largePool.pop() ?? new ByteWriter(LARGE_WRITER_BYTES)) : (pool.pop() ?? new ByteWriter());
  }

  /** Give a borrowed writer back; nobody may hold a view of its bytes. */
  static giveBack(writer: ByteWriter): void {
    const size = writer.bytes.length;
    const from = size === SMALL_WRITER_BYTES ? pool : size === LARGE_WRITER_BYTES ? largePool : undefined;
    if (from === undefined || from.length >= POOL_LIMIT) return;
    writer.length = 0;
    from.push(writer);
  }

  /** Make room for `count` bytes and return where they begin; the caller must write every one of them. */
  reserve(count: number): number {
    const at = this.length;
    const end = at + count;
    if (end > this.bytes.length) this.#grow(end);
    this.length = end;
    return at;
  }

  #grow(needed: number): void {
    let capacity = SMALL_WRITER_BYTES;
    if (needed > LARGE_WRITER_BYTES) capacity = Math.max(needed, this.bytes.length * 2);
    else if (needed > SMALL_WRITER_BYTES) capacity = LARGE_WRITER_BYTES;
    const bytes = allocate(capacity);
    bytes.set(this.bytes.subarray(0, this.length), 0);
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
  }

  /** Leave the written bytes to whoever holds them, and begin anew with a buffer that is made when it is needed. */
  renew(): void {
    this.bytes = NONE;
    this.view = NONE_VIEW;
    this.length = 0;
  }

  append(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length);
    this.bytes.set(bytes, at);
  }

  uint8(value: number): void {
    const at = this.reserve(1);
    this.bytes[at] = value;
  }

  uint16(value: number, littleEndian = false): void {
    const at = this.reserve(2);
    this.view.setUint16(at, value, littleEndian);
  }

  uint32(value: number, littleEndian = false): void {
    const at = this.reserve(4);
    this.view.setUint32(at, value, littleEndian);
  }

  /** Append text as UTF-8 and return how many bytes it took. */
  text(value: string): number {
    const length = value.length;
    // A native call costs more than a short loop over ASCII.
    if (length <= 40) {
      const at = this.reserve(length);
      const bytes = this.bytes;
      let i = 0;
      for (; i < length; i++) {
        const unit = value.charCodeAt(i);
        if (unit > 127) break;
        bytes[at + i] = unit;
      }
      if (i === length) return length;
      this.length = at;
    }
    const at = this.reserve(length * 3);
    const written = writeText(this.bytes, at, value);
    this.length = at + written;
    return written;
  }
}
