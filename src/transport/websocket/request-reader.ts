/**
 * Reads the one HTTP request of a connection with the parser of Node.js, and hands that parser no
 * byte beyond it.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { guarded } from '../../core/guard.js';
import { onNextTurn, spend, unitsOf } from '../../core/turn.js';

/** Units of spend() for a request with its answer. */
const REQUEST_UNITS = 16;
const EMPTY = Buffer.alloc(0);
const CR = 13;
const LF = 10;

function ignore(): void {}

/**
 * The parser has this stream for a socket. So it cannot read a second request, nor bytes that come
 * after a refusal; what it writes is dropped. The socket itself is read here: its request waits for
 * a later turn of the event loop when the share of this turn is used up.
 */
export class RequestReader extends Duplex {
  readonly socket: Socket;
  readonly #failed: (reader: RequestReader, error: unknown) => void;
  /** Bytes after the request. */
  #rest: Buffer = EMPTY;
  /** A byte of the request has come. */
  #hasBegun = false;
  /** The last bytes are a line end. */
  #isAtLineEnd = false;
  #isWhole = false;
  #isReleased = false;

  /**
   * `parser` emits the request with this stream as its socket. `failed` is called when the handling
   * throws. It must not throw.
   */
  constructor(
    socket: Socket,
    parser: Server,
    failed: (reader: RequestReader, error: unknown) => void,
  ) {
    super();
    this.socket = socket;
    this.#failed = failed;
    // An error without a listener would end the process. The socket is closed after it.
    socket
      .on('error', ignore)
      .on('data', this.#onData)
      .on('end', this.#onEnd)
      .on('close', this.#onClose);
    parser.emit('connection', this);
  }

  /**
   * The request is decided: nothing more is read. Returns the bytes after it; undefined: it was
   * decided before.
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
    // A part of a request takes little work, and the end of it is answered.
    const isOver = spend(
      this.#hasBegun && chunk.length < 4 ? 1 : REQUEST_UNITS + unitsOf(chunk.length),
    );
    if (!isOver) return this.#read(chunk);
    this.socket.pause();
    const goOn = (): void => {
      if (this.#isReleased || this.socket.destroyed) return;
      this.#read(chunk);
      if (!this.#isWhole) this.socket.resume();
    };
    onNextTurn(guarded(goOn, (error) => this.#failed(this, error)));
  };

  #read(chunk: Buffer): void {
    const begin = this.#hasBegun ? 0 : chunk.findIndex((byte) => byte !== CR && byte !== LF);
    // Empty lines before a request are ignored (RFC 9112, section 2.2).
    if (begin < 0) return;
    this.#hasBegun = true;
    const end = this.#endOfRequest(chunk, begin);
    if (this.#isWhole) {
      this.socket.pause();
      this.#rest = chunk.subarray(end);
    }
    this.push(chunk.subarray(begin, end));
  }

  /** Where an empty line ends, or the length of the chunk. */
  #endOfRequest(chunk: Buffer, begin: number): number {
    for (let at = begin; at < chunk.length; at++) {
      const byte = chunk[at];
      if (byte === LF) {
        this.#isWhole = this.#isAtLineEnd;
        this.#isAtLineEnd = true;
        if (this.#isWhole) return at + 1;
      } else if (byte !== CR) this.#isAtLineEnd = false;
    }
    return chunk.length;
  }

  readonly #onEnd = (): void => {
    // The parser tells of a request that is cut off.
    if (this.#hasBegun && !this.#isWhole) this.push(null);
    else if (!this.#isWhole) this.socket.destroy();
  };

  /** The parser, and the server that it belongs to, keep this stream until it is closed. */
  readonly #onClose = (): void => {
    this.destroy();
  };

  override _read(): void {}

  override _write(_chunk: unknown, _encoding: unknown, done: () => void): void {
    done();
  }

  /** The parser has given up. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.#isReleased) this.socket.destroy();
    done(error);
  }
}
