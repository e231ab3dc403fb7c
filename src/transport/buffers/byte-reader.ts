/** What has arrived and is not read yet. A codec takes whole messages off its front. */
import { allocate, type Bytes, decode, type Encoding, find } from '../../core/bytes.js';

const EMPTY = allocate(0);
/**
 * A message that straddles chunks is gathered in a buffer that grows with what really came, not
 * with what was announced.
 */
const GROWTH = 4;
const FIRST_GATHER = 16 * 1024;
/** The rest of a smaller chunk stays where it is: a copy would cost more than it frees. Bytes. */
const MIN_CHUNK_TO_LEAVE = 4 * 1024;

export class ByteReader {
  /**
   * The buffer that holds the unread bytes, from `position` to `end`. For codecs that read numbers
   * in place.
   */
  bytes: Bytes = EMPTY;
  position = 0;
  end = 0;
  /**
   * The kind of the message (WebSocket): true for text, false for binary; undefined where messages
   * have no kind.
   */
  text: boolean | undefined = undefined;
  #view: DataView | undefined;
  /** True while `bytes` is our own gathering buffer, whose room after `end` nobody else sees. */
  #gathering = false;
  #wanted = 0;
  /** So many unread bytes were searched for `#scannedFor` in vain. */
  #scanned = 0;
  #scannedFor: number | Uint8Array = -1;

  /** Unread bytes. */
  get length(): number {
    return this.end - this.position;
  }

  /** A DataView over `bytes`; offsets are those of `bytes`, so begin at `position`. */
  get view(): DataView {
    this.#view ??= new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    return this.#view;
  }

  /**
   * Add a chunk; it belongs to the reader from here on. Copied only when a message straddles
   * chunks.
   */
  feed(chunk: Bytes): void {
    const rest = this.end - this.position;
    if (rest === 0) {
      this.#adopt(chunk, chunk.length, false);
      return;
    }
    const total = rest + chunk.length;
    if (this.#gathering && this.end + chunk.length <= this.bytes.length) {
      this.bytes.set(chunk, this.end);
      this.end += chunk.length;
      return;
    }
    let capacity = total;
    if (this.#wanted >= total)
      capacity = Math.min(this.#wanted, Math.max(FIRST_GATHER, total * GROWTH));
    // Nobody knows how much comes: where most is copied again, make room for as much once more, so
    // that a drip costs no copy each time.
    else if (rest >= chunk.length) capacity = total * 2;
    // The old buffer is left as it is: views of it may be in somebody's hands.
    const gathered = allocate(capacity);
    gathered.set(this.bytes.subarray(this.position, this.end), 0);
    gathered.set(chunk, rest);
    this.#adopt(gathered, total, true);
  }

  /**
   * Keep no more memory than the unread bytes need, at the end of a read event: the next bytes may
   * come late or never. Where nothing is unread, the reader has no buffer. Where less than half of
   * a chunk is unread, it is copied.
   */
  release(): void {
    const { bytes, position, end } = this;
    const rest = end - position;
    if (rest === 0) this.#adopt(EMPTY, 0, false);
    // A gathering buffer of which nothing is read has room for what is to come.
    else if (position > 0 && rest * 2 < bytes.length && bytes.length >= MIN_CHUNK_TO_LEAVE) {
      const kept = allocate(rest);
      kept.set(bytes.subarray(position, end), 0);
      this.#adopt(kept, rest, false);
    }
  }

  /**
   * Read a whole message, between `start` and `end` of `bytes`. Nothing may be unread. The bytes
   * belong to the reader from here on.
   */
  feedMessage(bytes: Bytes, start: number, end: number): void {
    this.#adopt(bytes, end, false);
    this.position = start;
  }

  #adopt(bytes: Bytes, end: number, gathering: boolean): void {
    // Many messages may lie in one chunk.
    if (bytes !== this.bytes) this.#view = undefined;
    this.bytes = bytes;
    this.position = 0;
    this.end = end;
    this.#gathering = gathering;
  }

  /**
   * Say how many bytes the next message takes in all, so that a large one is gathered with few
   * copies.
   */
  want(total: number): void {
    this.#wanted = total;
  }

  /** The unread byte at `offset` (0 is the next one); undefined past the end. */
  peek(offset: number): number | undefined {
    const at = this.position + offset;
    return at < this.end ? this.bytes[at] : undefined;
  }

  /**
   * How many unread bytes come before the first `pattern`, a byte or several in a row, or -1. Bytes
   * that were searched in vain are not searched again when more have come; take or skip begins
   * anew.
   */
  indexOf(pattern: number | Uint8Array): number {
    if (pattern !== this.#scannedFor) this.#scanned = 0;
    this.#scannedFor = pattern;
    const from = this.position + this.#scanned;
    // The room after `end` is not searched: it may be large, and what lies there is not ours.
    const searched = this.end === this.bytes.length ? this.bytes : this.bytes.subarray(0, this.end);
    const found = find(searched, pattern, from);
    if (found >= 0) return found - this.position;
    // The last bytes may be the beginning of a pattern that is not whole yet.
    const partial = typeof pattern === 'number' ? 0 : pattern.length - 1;
    this.#scanned = Math.max(0, this.end - this.position - partial);
    return -1;
  }

  /**
   * Take `count` bytes, behind `dropped` others, as a view that stays valid and keeps its whole
   * chunk. Throws RangeError when fewer are there.
   */
  take(count: number, dropped = 0): Bytes {
    const from = this.position + dropped;
    this.skip(count + dropped);
    return this.bytes.subarray(from, from + count);
  }

  /**
   * Take `count` bytes as text. Throws RangeError when fewer are there; in a browser BAD_OPTION for
   * encodings other than `utf8` and `latin1`.
   */
  takeText(count: number, encoding?: Encoding): string {
    const from = this.position;
    this.skip(count);
    return decode(this.bytes, from, from + count, encoding);
  }

  // Numbers, taken off the front. Big-endian, the network's order, unless `littleEndian`. Throw
  // RangeError when fewer bytes are there.

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

  /** Takes `count` bytes and answers where they begin. */
  #advance(count: number): number {
    const at = this.position;
    this.skip(count);
    return at;
  }

  /** Drop `count` bytes. Throws RangeError when fewer are there. */
  skip(count: number): void {
    if (count >>> 0 !== count || count > this.end - this.position) {
      throw new RangeError(`cannot take ${count} bytes: ${this.end - this.position} are there`);
    }
    this.position += count;
    this.#wanted = 0;
    this.#scanned = 0;
  }
}
