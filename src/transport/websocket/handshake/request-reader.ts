import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { guarded } from '../../../core/guard.js';
import { onNextTurn, spend, unitsOf } from '../../../core/turn.js';

/** Units of spend() for a request and its response. */
export const REQUEST_UNITS = 16;
const EMPTY = Buffer.alloc(0);
const CR = 13;
const LF = 10;

function ignore(): void {}

/**
 * The stream that the HTTP parser of Node.js gets instead of the socket. It passes on the bytes of
 * one request, and drops what the parser writes. So the parser never sees a second request, nor
 * bytes after a refusal. If the budget of a turn of the event loop is used up, the request waits
 * for a later turn.
 */
export class RequestReader extends Duplex {
  readonly socket: Socket;
  readonly #onFault: (reader: RequestReader, error: unknown) => void;
  /** Bytes after the request. */
  #rest: Buffer = EMPTY;
  #hasRequestBegun = false;
  /** The last byte was the end of a line. */
  #isAtLineEnd = false;
  /** The empty line after the headers has arrived. */
  #isRequestComplete = false;
  #isReleased = false;

  /**
   * `parser` emits the request with this stream as its socket. `onFault` is called when handling
   * bytes throws; it must not throw.
   */
  constructor(
    socket: Socket,
    parser: Server,
    onFault: (reader: RequestReader, error: unknown) => void,
  ) {
    super();
    this.socket = socket;
    this.#onFault = onFault;
    // An error without a listener would end the process. The 'close' event follows it.
    socket
      .on('error', ignore)
      .on('data', this.#onData)
      .on('end', this.#onEnd)
      .on('close', this.#onClose);
    parser.emit('connection', this);
  }

  /**
   * Stops reading the socket. Returns the bytes after the request; undefined if the reader was
   * released before.
   */
  release(): Buffer | undefined {
    if (this.#isReleased) return undefined;
    this.#isReleased = true;
    this.socket
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('close', this.#onClose)
      .pause();
    this.destroy();
    return this.#rest;
  }

  readonly #onData = (chunk: Buffer): void => {
    // A few bytes inside a request are little work. The end of a request may be in a longer chunk.
    const units =
      this.#hasRequestBegun && chunk.length < 4 ? 1 : REQUEST_UNITS + unitsOf(chunk.length);
    if (!spend(units)) return this.#read(chunk);
    this.socket.pause();
    const resume = (): void => {
      if (this.#isReleased || this.socket.destroyed) return;
      this.#read(chunk);
      if (!this.#isRequestComplete) this.socket.resume();
    };
    onNextTurn(guarded(resume, (error) => this.#onFault(this, error)));
  };

  #read(chunk: Buffer): void {
    // Empty lines before a request are ignored (RFC 9112, section 2.2).
    const begin = this.#hasRequestBegun ? 0 : chunk.findIndex((byte) => byte !== CR && byte !== LF);
    if (begin < 0) return;
    this.#hasRequestBegun = true;
    const end = this.#endOfRequest(chunk, begin);
    if (this.#isRequestComplete) {
      this.socket.pause();
      this.#rest = chunk.subarray(end);
    }
    this.push(chunk.subarray(begin, end));
  }

  /** The end of the first empty line from `begin` on; without one, the length of the chunk. */
  #endOfRequest(chunk: Buffer, begin: number): number {
    for (let at = begin; at < chunk.length; at++) {
      const byte = chunk[at];
      if (byte === LF) {
        this.#isRequestComplete = this.#isAtLineEnd;
        this.#isAtLineEnd = true;
        if (this.#isRequestComplete) return at + 1;
      } else if (byte !== CR) this.#isAtLineEnd = false;
    }
    return chunk.length;
  }

  readonly #onEnd = (): void => {
    // The parser reports an incomplete request.
    if (this.#hasRequestBegun && !this.#isRequestComplete) this.push(null);
    else if (!this.#isRequestComplete) this.socket.destroy();
  };

  /** The parser and its server keep this stream in memory until it is closed. */
  readonly #onClose = (): void => {
    this.destroy();
  };

  override _read(): void {}

  override _write(_chunk: unknown, _encoding: unknown, done: () => void): void {
    done();
  }

  /** The parser destroys the stream of a request that it rejects. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#isReleased) this.socket.destroy();
    done(error);
  }
}
