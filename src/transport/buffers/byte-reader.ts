/**
 * The bytes that have arrived and are not read yet. A codec takes complete messages from the front.
 */
import { allocate, type Bytes, decode, type Encoding, find, wrap } from '../../core/bytes.js';

const EMPTY = allocate(0);
/**
 * A message that spans chunks is gathered in a buffer of at most this many times the bytes that
 * have arrived. So a peer cannot make the reader allocate memory for bytes that it never sends.
 */
const GROWTH = 16;
/** Bytes. A smaller gathering buffer may exceed GROWTH. */
const FIRST_GATHER = 16 * 1024;
/** Bytes. The rest of a smaller chunk is not copied: a copy would cost more than it frees. */
const MIN_CHUNK_TO_LEAVE = 4 * 1024;

/**
 * The unread bytes of a session, as the `input` of Codec.read(). The session feeds it; a codec
 * looks at bytes with peek(), indexOf() and `bytes`, and takes them with take(), takeText(), skip()
 * and the methods for numbers.
 */
export class ByteReader {
  /**
   * The buffer with the unread bytes, from `position` to `end`. For codecs that read numbers in
   * place. Do not change it.
   */
  bytes: Bytes = EMPTY;
  /** Index in `bytes` of the first unread byte. */
  position = 0;
  /** Index in `bytes` after the last unread byte. */
  end = 0;
  /**
   * The kind of a WebSocket message: true for text, false for binary. Undefined on other
   * transports.
   */
  text: boolean | undefined = undefined;
  #view: DataView | undefined;
  /** Whether take() has returned a view of `bytes`. */
  #hasTaken = false;
  /** The memory of `bytes`, and where they begin in it. Undefined until a second view of them. */
  #memory: ArrayBufferLike | undefined;
  #memoryOffset = 0;
  /**
   * True while `bytes` is a gathering buffer of the reader. The bytes after `end` are then free.
   */
  #isGathering = false;
  /** Size of the next message as announced by want(); 0 if it is unknown. Bytes. */
  #wanted = 0;
  /** Unread bytes that indexOf() has searched without finding `#scannedFor`. */
  #scanned = 0;
  #scannedFor: number | Uint8Array = -1;

  /** The number of unread bytes. */
  get length(): number {
    return this.end - this.position;
  }

  /** A DataView of `bytes`. The first unread byte has the offset `position`. */
  get view(): DataView {
    this.#view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    return this.#view;
  }

  /**
   * Add a chunk, which then belongs to the reader. It is copied only if unread bytes precede it: a
   * message then spans chunks.
   */
  feed(chunk: Bytes): void {
    const rest = this.end - this.position;
    if (rest === 0) {
      this.#adopt(chunk, chunk.length, false);
      return;
    }
    const total = rest + chunk.length;
    if (this.#isGathering && this.end + chunk.length <= this.bytes.length) {
      this.bytes.set(chunk, this.end);
      this.end += chunk.length;
      return;
    }
    let capacity = total;
    if (this.#wanted >= total)
      // The chunk with the end of the message may be as large as this one, and then fits too.
      capacity = Math.min(this.#wanted + chunk.length, Math.max(FIRST_GATHER, total * GROWTH));
    // The size of the message is unknown. Doubling the capacity keeps the copies linear when many
    // small chunks arrive.
    else if (rest >= chunk.length) capacity = total * 2;
    // The old buffer is not changed: handlers may keep views of it.
    const gathered = allocate(capacity);
    gathered.set(this.bytes.subarray(this.position, this.end), 0);
    gathered.set(chunk, rest);
    this.#adopt(gathered, total, true);
  }

  /**
   * Release memory at the end of a read event, because the next bytes may arrive late or never.
   * Without unread bytes the reader drops its buffer. If less than half of a chunk is unread, that
   * part is copied.
   */
  release(): void {
    const { bytes, position, end } = this;
    const rest = end - position;
    if (rest === 0) this.#adopt(EMPTY, 0, false);
    // At position 0 the buffer gathers a message, and has space for its next bytes.
    else if (position > 0 && rest * 2 < bytes.length && bytes.length >= MIN_CHUNK_TO_LEAVE) {
      const kept = allocate(rest);
      kept.set(bytes.subarray(position, end), 0);
      this.#adopt(kept, rest, false);
    }
  }

  /**
   * Set the unread bytes to one complete message, from `start` to `end` of `bytes`. The reader must
   * be empty. The bytes then belong to the reader.
   */
  feedMessage(bytes: Bytes, start: number, end: number): void {
    this.#adopt(bytes, end, false);
    this.position = start;
  }

  #adopt(bytes: Bytes, end: number, gathering: boolean): void {
    // All messages in one chunk share one DataView and one ArrayBuffer.
    if (bytes !== this.bytes) {
      this.#view = undefined;
      this.#memory = undefined;
      this.#hasTaken = false;
    }
    this.bytes = bytes;
    this.position = 0;
    this.end = end;
    this.#isGathering = gathering;
  }

  /** Announce the size of the next message in bytes, so that it is gathered with few copies. */
  want(total: number): void {
    this.#wanted = total;
  }

  /** The unread byte at `offset`; 0 is the first one. Undefined after the end. */
  peek(offset: number): number | undefined {
    const at = this.position + offset;
    return at < this.end ? this.bytes[at] : undefined;
  }

  /**
   * The number of unread bytes before the first `pattern`, which is a byte or a sequence of bytes;
   * -1 if there is none. After -1 the next call searches only the bytes that have arrived since,
   * unless bytes were taken or skipped.
   */
  indexOf(pattern: number | Uint8Array): number {
    if (pattern !== this.#scannedFor) this.#scanned = 0;
    this.#scannedFor = pattern;
    const from = this.position + this.#scanned;
    // The bytes after `end` are free space, which may be large.
    const searched = this.end === this.bytes.length ? this.bytes : this.bytes.subarray(0, this.end);
    const found = find(searched, pattern, from);
    if (found >= 0) return found - this.position;
    // The last bytes may be the beginning of the pattern.
    const partial = typeof pattern === 'number' ? 0 : pattern.length - 1;
    this.#scanned = Math.max(0, this.end - this.position - partial);
    return -1;
  }

  /**
   * Take `count` bytes as a view, after skipping `dropped` bytes (default 0). The view stays valid,
   * and keeps its whole chunk, or the buffer of a message that spans chunks, in memory. Throws
   * RangeError if fewer bytes are unread.
   */
  take(count: number, dropped = 0): Bytes {
    const from = this.position + dropped;
    this.skip(count + dropped);
    // The first message of a chunk is often the only one, and then this would take longer.
    if (this.#hasTaken) return this.#wrap(from, count);
    this.#hasTaken = true;
    return this.bytes.subarray(from, from + count);
  }

  /** Takes a third of the time of subarray(), which asks for the memory each time. */
  #wrap(from: number, count: number): Bytes {
    if (this.#memory === undefined) {
      this.#memory = this.bytes.buffer;
      this.#memoryOffset = this.bytes.byteOffset;
    }
    return wrap(this.#memory, this.#memoryOffset + from, count);
  }

  /**
   * Take `count` bytes as text. Default of `encoding`: `'utf8'`. Throws RangeError if fewer bytes
   * are unread. In a browser other encodings than `utf8` and `latin1` throw BAD_OPTION.
   */
  takeText(count: number, encoding?: Encoding): string {
    const from = this.position;
    this.skip(count);
    return decode(this.bytes, from, from + count, encoding);
  }

  // Each of these methods takes a number. `littleEndian`: default false, big-endian. Throws
  // RangeError if fewer bytes are unread.

  uint8(): number {
    return this.view.getUint8(this.#advance(1));
  }

  int8(): number {
    return this.view.getInt8(this.#advance(1));
  }

  uint16(littleEndian = false): number {
    return this.view.getUint16(this.#advance(2), littleEndian);
  }

  int16(littleEndian = false): number {
    return this.view.getInt16(this.#advance(2), littleEndian);
  }

  uint24(littleEndian = false): number {
    const at = this.#advance(3);
    const low = this.view.getUint8(littleEndian ? at : at + 2);
    return this.view.getUint16(littleEndian ? at + 1 : at, littleEndian) * 256 + low;
  }

  int24(littleEndian = false): number {
    return (this.uint24(littleEndian) << 8) >> 8;
  }

  uint32(littleEndian = false): number {
    return this.view.getUint32(this.#advance(4), littleEndian);
  }

  int32(littleEndian = false): number {
    return this.view.getInt32(this.#advance(4), littleEndian);
  }

  uint64(littleEndian = false): bigint {
    return this.view.getBigUint64(this.#advance(8), littleEndian);
  }

  int64(littleEndian = false): bigint {
    return this.view.getBigInt64(this.#advance(8), littleEndian);
  }

  float32(littleEndian = false): number {
    return this.view.getFloat32(this.#advance(4), littleEndian);
  }

  float64(littleEndian = false): number {
    return this.view.getFloat64(this.#advance(8), littleEndian);
  }

  /** Skips `count` bytes. Returns the index in `bytes` at which they begin. */
  #advance(count: number): number {
    const at = this.position;
    this.skip(count);
    return at;
  }

  /** Skip `count` bytes. Throws RangeError if fewer bytes are unread. */
  skip(count: number): void {
    if (count >>> 0 !== count || count > this.end - this.position) {
      throw new RangeError(`cannot take ${count} bytes: ${this.end - this.position} are unread`);
    }
    this.position += count;
    this.#wanted = 0;
    this.#scanned = 0;
  }
}
