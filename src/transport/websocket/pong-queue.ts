import { allocate, keepable } from '../../core/bytes.js';
import { ByteWriter } from '../buffers/byte-writer.js';
import { now } from '../session/flush-scheduler.js';
import { OPCODE } from './frames/frame-header.js';
import { writeControlFrame } from './frames/frame-writer.js';

/**
 * While the peer does not read more bytes of pongs than this, only its latest ping is answered (RFC
 * 6455, section 5.5.3). So a flood of pings does not fill the queue of the connection.
 */
const MAX_UNREAD_BYTES = 64 * 1024;
/** Milliseconds between two unsolicited pongs. */
const UNSOLICITED_INTERVAL = 200;
const EMPTY = allocate(0);
/** The size of a pong with a short payload, rounded up. */
const PONG_BYTES = 128;

/**
 * The pongs of one connection. They are collected while frames are read, then sent in one write.
 */
export class PongQueue {
  readonly #isMasked: boolean;
  /** take() may return pongs. */
  isPending = false;
  /** Pongs that are not written yet. */
  #frames: ByteWriter | undefined;
  /** Bytes of pongs that the stream may not have taken. */
  #unreadBytes = 0;
  /** The end of the last written pong, as a number of bytes written to the stream. */
  #end = 0;
  /** The latest ping that has no pong, because the limit was reached. */
  #ping: Buffer | undefined;
  /** The time of the last unsolicited pong, by now(). */
  #unsolicitedAt = 0;

  constructor(isMasked: boolean) {
    this.#isMasked = isMasked;
  }

  /** Answers a ping. */
  answer(payload: Buffer): void {
    this.isPending = true;
    if (this.#ping !== undefined || !this.#add(payload))
      this.#ping = keepable(payload, 0, payload.length);
  }

  /**
   * Adds an unsolicited pong (RFC 6455, section 5.5.3) if the last one is UNSOLICITED_INTERVAL old.
   * While a message arrives slowly, it shows the peer that this side is alive. `since`: when the
   * message began, by now().
   */
  addUnsolicited(since: number): void {
    const time = now();
    if (time - Math.max(since, this.#unsolicitedAt) < UNSOLICITED_INTERVAL) return;
    this.#unsolicitedAt = time;
    if (this.#add(EMPTY)) this.isPending = true;
  }

  /**
   * Returns the pongs to write now; undefined if there are none. `written` and `buffered`: how many
   * bytes were written to the stream, and how many of them it has not taken.
   */
  take(written: number, buffered: number): Uint8Array | undefined {
    if (written - buffered >= this.#end) this.#unreadBytes = this.#frames?.length ?? 0;
    if (this.#ping !== undefined && this.#add(this.#ping)) this.#ping = undefined;
    this.isPending = this.#ping !== undefined;
    if (this.#frames === undefined) return undefined;
    const bytes = this.#frames.written;
    this.#frames = undefined;
    this.#end = written + bytes.length;
    return bytes;
  }

  /** Returns false if the limit is reached. */
  #add(payload: Uint8Array): boolean {
    if (this.#unreadBytes >= MAX_UNREAD_BYTES) return false;
    this.#frames ??= new ByteWriter(PONG_BYTES);
    const start = this.#frames.length;
    writeControlFrame(this.#frames, OPCODE.pong, payload, this.#isMasked);
    this.#unreadBytes += this.#frames.length - start;
    return true;
  }
}
