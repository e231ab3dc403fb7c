/**
 * Snappy on a stream: each write becomes complete chunks of the framing format, as in Go's
 * snappy.Writer.
 */
import { GettyError, gettyError, isInstance, messageOf } from '../../core/errors.js';
import { faultError, guarded } from '../../core/guard.js';
import { Queue } from '../../core/queue.js';
import { onNextTurn, spend, unitsOf } from '../../core/turn.js';
import { now } from '../session/flush-scheduler.js';
import { CompressedConnection } from './compressed-connection.js';
import { chunksOf, MAX_BLOCK, STREAM_IDENTIFIER } from './snappy-format.js';
import { SnappyReader } from './snappy-reader.js';
import type { UnflushedWrite } from './unflushed-writes.js';

/** Bytes. A larger write is compressed in several turns of the event loop. 64 KiB takes 1 ms. */
const LARGE_WRITE = 128 * 1024;

/** A write that is not completely compressed. */
interface UncompressedWrite {
  readonly write: UnflushedWrite;
  rest: Uint8Array;
}

export class SnappyConnection extends CompressedConnection {
  readonly #reader = new SnappyReader();
  /**
   * Large writes and the writes behind them, in order. They are compressed in later turns of the
   * event loop.
   */
  readonly #uncompressed = new Queue<UncompressedWrite>();
  #isDelivering = false;
  /** The budget of this turn of the event loop is used up. The rest is inflated in a later turn. */
  #isWaitingForTurn = false;
  #isEndDelivered = false;

  write(bytes: Uint8Array): void {
    const write = this.unflushed.add(bytes.length);
    const isFirst = this.#uncompressed.length === 0;
    if (isFirst && bytes.length <= LARGE_WRITE) {
      spend(unitsOf(bytes.length));
      this.#writeChunks([...chunksOf(bytes)], write);
      return;
    }
    this.#uncompressed.push({ write, rest: bytes });
    if (isFirst) this.#compressBlocks();
  }

  /**
   * Compresses block by block until the budget of this turn is used up. The rest waits for the
   * next turn.
   */
  #compressBlocks(): void {
    const writes = this.#uncompressed;
    // Called before the work, because the turn is timed from here.
    onNextTurn(this.#compressMore);
    for (
      let first = writes.peek();
      first !== undefined && !spend(unitsOf(MAX_BLOCK));
      first = writes.peek()
    ) {
      const chunks = [...chunksOf(first.rest.subarray(0, MAX_BLOCK))];
      first.rest = first.rest.subarray(MAX_BLOCK);
      if (first.rest.length === 0) writes.shift();
      this.#writeChunks(chunks, first.rest.length === 0 ? first.write : undefined);
    }
  }

  readonly #compressMore = (): void => {
    if (this.isDestroyed || this.isInnerClosed || this.#uncompressed.length === 0) return;
    this.#compressBlocks();
    if (this.#uncompressed.length === 0 && this.isEnding) this.inner.end();
    this.events?.onTaken();
  };

  /** `write` ends with these chunks. */
  #writeChunks(chunks: Uint8Array[], write: UnflushedWrite | undefined): void {
    if (this.compressedBytes === 0) chunks.unshift(STREAM_IDENTIFIER);
    const wire = Buffer.concat(chunks);
    this.compressedBytes += wire.length;
    if (write !== undefined) write.end = this.compressedBytes;
    this.inner.write(wire);
  }

  protected get isCompressing(): boolean {
    return this.#uncompressed.length > 0;
  }

  pause(): void {
    this.isPaused = true;
    this.inner.pause();
  }

  resume(): void {
    this.isPaused = false;
    this.readNext();
    if (!this.isPaused && !this.isDestroyed && !this.#isWaitingForTurn) this.inner.resume();
  }

  /** Milliseconds since an incomplete chunk began to arrive; 0 without one, and while paused. */
  incompleteMessageAge(): number {
    const reader = this.#reader;
    if (this.isPaused && reader.incompleteSince > 0) reader.incompleteSince = now();
    return reader.incompleteSince > 0 ? now() - reader.incompleteSince : 0;
  }

  override destroy(): void {
    this.#uncompressed.clear();
    super.destroy();
  }

  onData(bytes: Buffer): void {
    this.#reader.feed(bytes);
    this.inflatedBytes = 0;
    this.readNext();
  }

  readNext(): void {
    // The receiver of onData() may call resume(). The running loop delivers the rest.
    if (this.#isDelivering || this.#isWaitingForTurn) return;
    this.#isDelivering = true;
    for (let bytes = this.#next(); bytes !== undefined; bytes = this.#next()) {
      if (bytes.length > 0) this.events?.onData(bytes);
    }
    this.#isDelivering = false;
    this.#reader.release();
    if (this.isPaused || this.isDestroyed || this.#isWaitingForTurn || !this.hasPeerEnded) return;
    if (!this.#isEndDelivered) {
      this.#isEndDelivered = true;
      if (this.#reader.incompleteSince > 0)
        return this.#failRead(new Error('it ended inside a chunk'));
      this.events?.onEnd();
    }
    if (this.isInnerClosed) this.finish();
  }

  #next(): Buffer | undefined {
    if (this.isPaused || this.isDestroyed) return undefined;
    // Chunks without data, and invalid ones, count too.
    if (spend(1)) {
      this.#waitForTurn();
      return undefined;
    }
    try {
      return this.#reader.next(this.#beforeInflate);
    } catch (error) {
      this.#failRead(error);
      return undefined;
    }
  }

  #waitForTurn(): void {
    this.#isWaitingForTurn = true;
    this.inner.pause();
    const resumeReading = (): void => {
      this.#isWaitingForTurn = false;
      // The connection is lost: onClose() was called, and nothing may follow it.
      if (this.isInnerClosed && !this.hasPeerEnded) return;
      this.readNext();
      if (!this.isPaused && !this.isDestroyed && !this.#isWaitingForTurn) this.inner.resume();
    };
    const failed = (error: unknown): void => {
      this.error ??= faultError(this.remoteAddress, error);
      this.destroy();
    };
    onNextTurn(guarded(resumeReading, failed));
  }

  readonly #beforeInflate = (bytes: number): void => {
    spend(unitsOf(bytes));
    const error = this.addInflated(bytes);
    if (error !== undefined) throw error;
  };

  #failRead(error: unknown): void {
    this.fail(
      isInstance(error, GettyError)
        ? error
        : gettyError(
            'BAD_FRAME',
            `${this.remoteAddress} sent an invalid snappy stream: ${messageOf(error)}`,
            error,
          ),
    );
  }

  override onClose(error?: Error): void {
    this.#uncompressed.clear();
    super.onClose(error);
  }
}
