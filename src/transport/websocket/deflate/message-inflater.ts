import { constants, inflateRaw, inflateRawSync, type ZlibOptions } from 'node:zlib';
import { keepable } from '../../../core/bytes.js';
import { messageOf } from '../../../core/errors.js';
import { spend } from '../../../core/turn.js';
import { CLOSE_CODE, FrameError, messageTooLarge } from '../frames/frame-error.js';
import type { Inflater } from '../frames/frame-parser.js';
import { EndMarker, type ZlibResult } from './end-marker.js';
import { MAX_WINDOW_BITS, ZLIB_UNITS } from './permessage-deflate.js';

/**
 * From this size on, a compressed message is inflated in larger pieces of output, which saves a
 * third of the time. Bytes.
 */
const MIN_LARGE_INPUT_BYTES = 16 * 1024;
const LARGE_CHUNK_BYTES = 64 * 1024;
const WINDOW_BYTES = 2 ** MAX_WINDOW_BITS;

/** Inflates the messages of one connection. Use it for one message at a time. */
export class MessageInflater implements Inflater {
  readonly #maxMessageBytes: number;
  readonly #maxInflatedBytes: number;
  readonly #hasContextTakeover: boolean;
  /** The last bytes of the peer's messages, if the next message may refer to them. */
  #window: Buffer | undefined;

  /** `hasContextTakeover`: a message of the peer may refer to the messages before it. */
  constructor(maxMessageBytes: number, maxInflatedBytes: number, hasContextTakeover: boolean) {
    this.#maxMessageBytes = maxMessageBytes;
    this.#maxInflatedBytes = maxInflatedBytes;
    this.#hasContextTakeover = hasContextTakeover;
  }

  /**
   * Throws FrameError: the message is invalid, is incomplete, continues after its end, or inflates
   * to more bytes than a limit.
   */
  inflate(bytes: Buffer): Buffer {
    for (;;) {
      const marker = EndMarker.current;
      let result: ZlibResult;
      spend(ZLIB_UNITS);
      try {
        result = inflateRawSync(
          marker.appendTo(bytes),
          this.#options(bytes, marker),
        ) as unknown as ZlibResult;
      } catch (error) {
        throw this.#errorOf(error);
      }
      spend(ZLIB_UNITS);
      const message = this.#complete(result, bytes, marker);
      if (message !== undefined) return message;
    }
  }

  inflateOnThread(bytes: Buffer, done: (result: Buffer | FrameError) => void): void {
    const marker = EndMarker.current;
    inflateRaw(marker.appendTo(bytes), this.#options(bytes, marker), (error, result) => {
      if (error !== null) return done(this.#errorOf(error));
      let message: Buffer | FrameError | undefined;
      try {
        message = this.#complete(result as unknown as ZlibResult, bytes, marker);
      } catch (failure) {
        message = failure as FrameError;
      }
      if (message === undefined) this.inflateOnThread(bytes, done);
      else done(message);
    });
  }

  inflateStart(bytes: Buffer): Buffer {
    try {
      spend(ZLIB_UNITS);
      const start = inflateRawSync(bytes, {
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: this.#limit,
        dictionary: this.#window,
        chunkSize: chunkSizeFor(bytes.length),
      });
      spend(ZLIB_UNITS);
      return start;
    } catch (error) {
      throw this.#errorOf(error);
    }
  }

  get #limit(): number {
    return Math.min(this.#maxMessageBytes, this.#maxInflatedBytes);
  }

  #options(bytes: Buffer, marker: EndMarker): ZlibOptions {
    return {
      info: true,
      maxOutputLength: this.#limit + marker.contentBytes,
      dictionary: this.#window,
      chunkSize: chunkSizeFor(bytes.length),
    };
  }

  /** The message; undefined if it must be inflated again. Throws FrameError. */
  #complete(inflated: ZlibResult, bytes: Buffer, marker: EndMarker): Buffer | undefined {
    const result = marker.find(inflated, bytes);
    if (result.state === 'ambiguous') {
      // A truncated message can end like one marker, but not like two of different lengths.
      EndMarker.current = new EndMarker();
      return undefined;
    }
    if (result.state !== 'complete')
      throw new FrameError(
        CLOSE_CODE.invalidData,
        'a compressed message is truncated, or continues after its end',
      );
    if (result.length > this.#limit) throw this.#tooLarge();
    // zlib's buffer may be 16 KiB for a message of one byte, which the program may keep.
    const message = keepable(inflated.buffer, 0, result.length);
    if (this.#hasContextTakeover) this.#window = windowAfter(this.#window, message);
    return message;
  }

  #errorOf(error: unknown): FrameError {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') return this.#tooLarge();
    return new FrameError(
      CLOSE_CODE.invalidData,
      `a message cannot be inflated: ${messageOf(error)}`,
      'BAD_FRAME',
      error,
    );
  }

  #tooLarge(): FrameError {
    return this.#maxInflatedBytes < this.#maxMessageBytes
      ? new FrameError(
          CLOSE_CODE.tooLarge,
          `a message inflates to more than maxInflatedBytes, ${this.#maxInflatedBytes}`,
          'INFLATE_LIMIT',
        )
      : messageTooLarge(
          `a message inflates to more than maxMessageBytes, ${this.#maxMessageBytes}`,
        );
  }
}

/** The size of zlib's output chunks in bytes, for a compressed message of `bytes` bytes. */
function chunkSizeFor(bytes: number): number {
  return bytes < MIN_LARGE_INPUT_BYTES ? constants.Z_DEFAULT_CHUNK : LARGE_CHUNK_BYTES;
}

/** The window after `message`. It is a copy, because the message belongs to its receiver. */
function windowAfter(window: Buffer | undefined, message: Buffer): Buffer {
  if (window === undefined || message.length >= WINDOW_BYTES)
    return Buffer.from(message.subarray(-WINDOW_BYTES));
  const kept = Math.min(window.length, WINDOW_BYTES - message.length);
  return Buffer.concat([window.subarray(window.length - kept), message]);
}
