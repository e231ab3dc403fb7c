/**
 * Raw DEFLATE on a stream: one continuous compressor per direction, with a sync flush after each
 * write, as in Go's compress/flate. Each write ends with 00 00 ff ff.
 */
import { constants, createDeflateRaw, createInflateRaw } from 'node:zlib';
import { type ErrorCode, gettyError, messageOf } from '../../core/errors.js';
import { faultError, guard } from '../../core/guard.js';
import { Queue } from '../../core/queue.js';
import { now } from '../session/flush-scheduler.js';
import type { Connection } from '../types.js';
import { CompressedConnection } from './compressed-connection.js';

/** The last four bytes of each write. */
const FLUSHED = 0x0000ffff;
/** A byte that follows the stream of the peer; see #probe(). */
const PROBE = Buffer.alloc(1);

function deliver(connection: DeflateConnection, bytes: Buffer): void {
  connection.onInflated(bytes);
}

function readNext(connection: DeflateConnection): void {
  connection.readNext();
}

function eventFailed(connection: DeflateConnection, error: unknown): void {
  connection.fail(faultError(connection.remoteAddress, error));
}

export class DeflateConnection extends CompressedConnection {
  readonly #deflate;
  readonly #inflate;
  /** Writes whose sync flush has not completed. */
  #flushes = 0;
  /** Received chunks. One is inflated at a time, so that its output can be limited. */
  readonly #received = new Queue<Buffer>();
  #isInflating = false;
  #receivedBytes = 0;
  #isEndDelivered = false;
  /** The last block of the peer's DEFLATE stream has been inflated. */
  #hasStreamEnded = false;
  /** The last four bytes that were received. */
  #lastBytes = FLUSHED;
  /**
   * When a part of a write arrived that has put out nothing yet: a time of now(). 0: nothing is
   * incomplete.
   */
  #incompleteSince = 0;
  #isProbing = false;
  #isFinished = false;

  constructor(inner: Connection, level: number, maxInflatedBytes: number) {
    super(inner, maxInflatedBytes);
    this.#deflate = createDeflateRaw({ level });
    this.#inflate = createInflateRaw();
    this.#deflate.on('data', (bytes: Buffer) => {
      this.compressedBytes += bytes.length;
      inner.write(bytes);
    });
    this.#inflate.on('data', (bytes: Buffer) => guard(deliver, eventFailed, this, bytes));
    this.#inflate.on('end', () => {
      // zlib ignores bytes after the final block and reports no error.
      this.#hasStreamEnded = true;
      if (this.#inflate.bytesWritten < this.#receivedBytes) this.#failAfterEnd();
    });
    this.#deflate.on('error', (error) =>
      this.#failWith(
        'CONNECTION_LOST',
        `the bytes to ${this.remoteAddress} cannot be compressed`,
        error,
      ),
    );
    this.#inflate.on('error', (error) => {
      if (this.#isProbing) this.#failIncomplete();
      else this.#failWith('BAD_FRAME', `${this.remoteAddress} sent invalid DEFLATE data`, error);
    });
  }

  write(bytes: Uint8Array): void {
    const write = this.unflushed.add(bytes.length);
    this.#flushes++;
    this.#deflate.write(bytes);
    this.#deflate.flush(constants.Z_SYNC_FLUSH, () => {
      if (this.isDestroyed) return;
      // The flush callback may run before the last 'data'. In flowing mode read() emits 'data'.
      while (this.#deflate.read() !== null);
      write.end = this.compressedBytes;
      this.#flushes--;
      if (this.isEnding && this.#flushes === 0) this.inner.end();
      this.events?.onTaken();
    });
  }

  protected get isCompressing(): boolean {
    return this.#flushes > 0;
  }

  pause(): void {
    this.isPaused = true;
    this.#inflate.pause();
    this.inner.pause();
  }

  resume(): void {
    this.isPaused = false;
    this.#inflate.resume();
    this.readNext();
  }

  override destroy(): void {
    this.#received.clear();
    super.destroy();
  }

  /** Milliseconds since a part of a write arrived, without output since; 0 while paused. */
  incompleteMessageAge(): number {
    if (this.isPaused && this.#incompleteSince > 0) this.#incompleteSince = now();
    return this.#incompleteSince > 0 ? now() - this.#incompleteSince : 0;
  }

  onData(bytes: Buffer): void {
    this.#received.push(bytes);
    for (const byte of bytes.subarray(-4)) this.#lastBytes = ((this.#lastBytes << 8) | byte) >>> 0;
    if (this.#incompleteSince === 0) this.#incompleteSince = now();
    this.inner.pause();
    this.readNext();
  }

  readNext(): void {
    if (this.#isInflating) return;
    while (!this.isPaused && this.#inflate.read() !== null);
    if (this.isPaused) return;
    const bytes = this.#received.shift();
    if (bytes === undefined) {
      return this.#onAllInflated();
    }
    if (this.#hasStreamEnded) return this.#failAfterEnd();
    this.#isInflating = true;
    this.inflatedBytes = 0;
    this.#receivedBytes += bytes.length;
    this.#inflate.write(bytes, (error) => {
      this.#isInflating = false;
      // After an error the 'error' event of the stream follows.
      if (!error) guard(readNext, eventFailed, this, undefined);
    });
  }

  #onAllInflated(): void {
    const isFlushed = this.#lastBytes === FLUSHED || this.#hasStreamEnded;
    if (isFlushed) this.#incompleteSince = 0;
    if (this.hasPeerEnded && !this.#isEndDelivered) {
      if (!isFlushed) return this.#probe();
      this.#isEndDelivered = true;
      this.events?.onEnd();
      // destroy() has finished already if the inner connection is closed.
      if (this.isDestroyed) return;
    }
    if (this.isInnerClosed) this.finish();
    else if (!this.hasPeerEnded) this.inner.resume();
  }

  /**
   * The stream of the peer may have ended with its last block, which zlib does not report: then it
   * does not take another byte.
   */
  #probe(): void {
    if (this.#isProbing) return;
    this.#isProbing = true;
    this.#isInflating = true;
    this.#inflate.write(PROBE, (error) => {
      // close() fails a write that is in progress.
      if (this.#isFinished) return;
      this.#isInflating = false;
      this.#hasStreamEnded ||= !error && this.#inflate.bytesWritten <= this.#receivedBytes;
      if (this.#hasStreamEnded) guard(readNext, eventFailed, this, undefined);
      else this.#failIncomplete();
    });
  }

  #failIncomplete(): void {
    const what = `the stream of ${this.remoteAddress} ended inside compressed data`;
    this.fail(gettyError('BAD_FRAME', what));
  }

  onInflated(bytes: Buffer): void {
    if (this.error !== undefined || this.#isProbing) return;
    if (this.#incompleteSince > 0) this.#incompleteSince = now();
    const error = this.addInflated(bytes.length);
    if (error === undefined) this.events?.onData(bytes);
    else this.fail(error);
  }

  #failAfterEnd(): void {
    this.fail(
      gettyError(
        'BAD_FRAME',
        `${this.remoteAddress} sent bytes after the end of its compressed stream`,
      ),
    );
  }

  #failWith(code: ErrorCode, what: string, cause: Error): void {
    this.fail(gettyError(code, `${what}: ${messageOf(cause)}`, cause));
  }

  protected override finish(): void {
    this.#isFinished = true;
    // zlib completes the write that is in progress, and then releases its memory.
    this.#deflate.close();
    this.#inflate.close();
    super.finish();
  }
}
