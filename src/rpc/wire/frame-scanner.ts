/**
 * Finds the frames in the bytes of one direction, for a reader who does not take part: it goes on
 * after bytes that are no frames, and keeps at most MAX_KEPT_BYTES of a frame.
 */
import { allocate, type Bytes, copy, find } from '../../core/bytes.js';
import { ByteReader } from '../../transport/buffers/byte-reader.js';
import {
  FRAME_HEADER_BYTES,
  Frame,
  type HeaderOnlyAnswers,
  MAGIC,
  MAX_HEADER_BYTES,
  readFrame,
  SECTION_BYTES,
} from './frame.js';
import { describeFrame, type FrameDescription } from './frame-description.js';

/** Bytes of a body that are kept. The rest of a larger one is skipped. */
export const MAX_KEPT_BODY_BYTES = 64 * 1024;
const MAX_KEPT_BYTES =
  FRAME_HEADER_BYTES + SECTION_BYTES + MAX_HEADER_BYTES + SECTION_BYTES + MAX_KEPT_BODY_BYTES;
/** Bytes that are no frame, of which a report has the first ones. */
const MAX_SHOWN_BYTES = 32;
/** How often one feed() searches the next frame. A peer could make each search fail at once. */
const MAX_SEARCHES = 16;

const MAGIC_BYTES = magicBytes();

function magicBytes(): Bytes {
  const bytes = allocate(4);
  new DataView(bytes.buffer, bytes.byteOffset, 4).setInt32(0, MAGIC, true);
  return bytes;
}

/** The views that a function gets are valid until it returns. */
export interface ScanEvents {
  onFrame(frame: FrameDescription): void;
  /** Bytes that are no frame: the first ones, and how many there are. */
  onOtherBytes(first: Bytes, length: number): void;
}

export class FrameScanner {
  readonly #events: ScanEvents;
  readonly #answers: HeaderOnlyAnswers | undefined;
  readonly #frame = new Frame();
  #input = new ByteReader();
  /** Bytes of a large frame that have not arrived yet. */
  #skipped = 0;
  #otherLength = 0;
  #otherBytes: Bytes | undefined;

  constructor(events: ScanEvents, answers?: HeaderOnlyAnswers) {
    this.#events = events;
    this.#answers = answers;
  }

  /** Bytes of a frame that has begun and is not complete. */
  get isInFrame(): boolean {
    return this.#input.length > 0 || this.#skipped > 0;
  }

  /** Reports what the bytes have. They must not change until the frames in them are complete. */
  feed(bytes: Bytes): void {
    const skipped = Math.min(this.#skipped, bytes.length);
    this.#skipped -= skipped;
    if (skipped === bytes.length) return;
    this.#input.feed(bytes.subarray(skipped));
    let searches = 0;
    while (this.#input.length > 0) {
      const found = this.#scan();
      if (found === 'incomplete') break;
      if (found === 'other') this.#search(++searches >= MAX_SEARCHES);
    }
    this.#reportOther();
    this.#input.release();
  }

  /**
   * Reports the bytes of a frame that is not complete, at the end of a stream or of a datagram.
   * Returns the number of bytes that a large frame lacks, which has been reported already.
   */
  end(): number {
    const lacking = this.#skipped;
    this.#skipped = 0;
    if (this.#input.length > 0) this.#addOther(this.#input.length);
    this.#reportOther();
    this.#input = new ByteReader();
    return lacking;
  }

  #scan(): 'frame' | 'other' | 'incomplete' {
    const input = this.#input;
    const frame = this.#frame;
    frame.isTooLarge = false;
    try {
      if (!readFrame(input, frame, MAX_KEPT_BYTES, this.#answers)) return 'incomplete';
    } catch {
      if (!frame.isTooLarge) return 'other';
      if (input.length >= MAX_KEPT_BYTES) return this.#scanLarge();
      input.want(MAX_KEPT_BYTES);
      return 'incomplete';
    }
    this.#report(describeFrame(frame));
    return 'frame';
  }

  /** Reads a copy of the kept part, with the lengths of a smaller frame. */
  #scanLarge(): 'frame' | 'other' {
    const input = this.#input;
    const { bytes, position } = input;
    const size = FRAME_HEADER_BYTES + input.view.getInt32(position + 28, true);
    const kept = copy(bytes.subarray(position, position + MAX_KEPT_BYTES));
    const view = new DataView(kept.buffer, kept.byteOffset, kept.length);
    view.setInt32(28, MAX_KEPT_BYTES - FRAME_HEADER_BYTES, true);
    const sections = FRAME_HEADER_BYTES + SECTION_BYTES;
    const headerEnd = sections + view.getUint16(FRAME_HEADER_BYTES, true);
    const bodyStart = headerEnd + SECTION_BYTES;
    view.setUint16(headerEnd, (MAX_KEPT_BYTES - bodyStart) & 0xffff, true);
    const part = new ByteReader();
    part.feed(kept);
    try {
      readFrame(part, this.#frame, MAX_KEPT_BYTES);
    } catch {
      return 'other';
    }
    const described = describeFrame(this.#frame);
    const bodyBytes = described.codec === undefined ? 0 : size - bodyStart;
    this.#report({ ...described, size, bodyBytes });
    const arrived = Math.min(size, input.length);
    input.skip(arrived);
    this.#skipped = size - arrived;
    return 'frame';
  }

  #report(frame: FrameDescription): void {
    this.#reportOther();
    this.#events.onFrame(frame);
    this.#frame.release();
  }

  /** Skips to the next bytes that may begin a frame; `isLast`: skips all. */
  #search(isLast: boolean): void {
    const { bytes, position, end } = this.#input;
    const arrived = bytes.subarray(position, end);
    const found = isLast ? -1 : find(arrived, MAGIC_BYTES, 1);
    this.#addOther(found >= 0 ? found : arrived.length - beginningAtEnd(arrived));
  }

  #addOther(length: number): void {
    const input = this.#input;
    if (this.#otherBytes === undefined || this.#otherBytes.length < MAX_SHOWN_BYTES) {
      const before = this.#otherBytes ?? allocate(0);
      const shown = Math.min(length, MAX_SHOWN_BYTES - before.length);
      const joined = allocate(before.length + shown);
      joined.set(before, 0);
      joined.set(input.bytes.subarray(input.position, input.position + shown), before.length);
      this.#otherBytes = joined;
    }
    this.#otherLength += length;
    input.skip(length);
  }

  #reportOther(): void {
    const bytes = this.#otherBytes;
    if (bytes === undefined) return;
    const length = this.#otherLength;
    this.#otherBytes = undefined;
    this.#otherLength = 0;
    this.#events.onOtherBytes(bytes, length);
  }
}

/** How many bytes at the end may be the beginning of a frame; not those of all `bytes`. */
function beginningAtEnd(bytes: Bytes): number {
  for (let length = Math.min(3, bytes.length - 1); length > 0; length--) {
    const start = bytes.length - length;
    if (MAGIC_BYTES.subarray(0, length).every((byte, at) => byte === bytes[start + at]))
      return length;
  }
  return 0;
}
