/**
 * Snappy on a stream, wrapped round a connection: whole chunks of the framing format for every
 * write, as Go's snappy.Writer makes them.
 */
import { GettyError, gettyError, isInstance, messageOf } from '../../core/errors.js';
import { faultError, guarded } from '../../core/guard.js';
import { Queue } from '../../core/queue.js';
import { isTurnOver, onNextTurn, spend, unitsOf } from '../../core/turn.js';
import { now } from '../session/flush-scheduler.js';
import type {
  Connection,
  ConnectionCapabilities,
  ConnectionEvents,
  MessageLimits,
} from '../types.js';
import { chunksOf, MAX_BLOCK, SnappyReader, STREAM_IDENTIFIER } from './snappy-format.js';
import { Untaken, type Write } from './untaken.js';

/**
 * Bytes. A write of more is compressed in several turns of the event loop. 64 KiB take up to 1 ms.
 */
const LARGE_WRITE = 128 * 1024;

/** A write that is not compressed up to its end. */
interface UncompressedWrite {
  readonly write: Write;
  rest: Uint8Array;
}

const CAPABILITIES: ConnectionCapabilities = { canHalfOpen: true };

export class SnappyConnection implements Connection, ConnectionEvents {
  readonly capabilities = CAPABILITIES;
  readonly #inner: Connection;
  readonly #maxInflatedBytes: number;
  readonly #untaken = new Untaken();
  readonly #reader = new SnappyReader();
  #events: ConnectionEvents | undefined;
  /** Of the outgoing stream. */
  #compressedBytes = 0;
  /**
   * Large writes, and those behind them, in order. Their compression goes on in later turns of the
   * event loop.
   */
  readonly #uncompressed = new Queue<UncompressedWrite>();
  #ending = false;
  /** What the last chunk that came from the network has become. */
  #inflated = 0;
  #paused = false;
  #delivering = false;
  /** The share of this turn of the event loop is used up: the rest is inflated in a later turn. */
  #waitsForTurn = false;
  #peerEnded = false;
  #endDelivered = false;
  #destroyed = false;
  #closed = false;
  #error: Error | undefined;

  constructor(inner: Connection, maxInflatedBytes: number) {
    this.#inner = inner;
    this.#maxInflatedBytes = maxInflatedBytes;
  }

  get localAddress(): string {
    return this.#inner.localAddress;
  }

  get remoteAddress(): string {
    return this.#inner.remoteAddress;
  }

  attach(events: ConnectionEvents, limits: MessageLimits): void {
    this.#events = events;
    this.#inner.attach(this, limits);
  }

  get bufferedBytes(): number {
    return this.#untaken.left(this.#compressedBytes - this.#inner.bufferedBytes);
  }

  write(bytes: Uint8Array): void {
    const write = this.#untaken.add(bytes.length);
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
   * Compresses block by block until the share of this turn is used up. The rest waits for the next.
   */
  #compressBlocks(): void {
    const writes = this.#uncompressed;
    // Before the work: from here on the turn is timed.
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
    if (this.#destroyed || this.#closed || this.#uncompressed.length === 0) return;
    this.#compressBlocks();
    if (this.#uncompressed.length === 0 && this.#ending) this.#inner.end();
    this.#events?.onTaken();
  };

  /** `write` ends with these chunks. */
  #writeChunks(chunks: Uint8Array[], write: Write | undefined): void {
    if (this.#compressedBytes === 0) chunks.unshift(STREAM_IDENTIFIER);
    const wire = Buffer.concat(chunks);
    this.#compressedBytes += wire.length;
    if (write !== undefined) write.end = this.#compressedBytes;
    this.#inner.write(wire);
  }

  end(): void {
    this.#ending = true;
    if (this.#uncompressed.length === 0) this.#inner.end();
  }

  pause(): void {
    this.#paused = true;
    this.#inner.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#deliver();
    if (!this.#paused && !this.#destroyed && !this.#waitsForTurn) this.#inner.resume();
  }

  /** How long a chunk has been coming that is not whole. */
  incompleteMessageAge(): number {
    const reader = this.#reader;
    if (this.#paused && reader.partialSince > 0) reader.partialSince = now();
    return reader.partialSince > 0 ? now() - reader.partialSince : 0;
  }

  destroy(): void {
    this.#destroyed = true;
    this.#uncompressed.clear();
    this.#inner.destroy();
    // The inner connection may be gone already, while we still had what it brought.
    if (this.#closed) this.#finish();
  }

  onData(bytes: Buffer): void {
    this.#reader.feed(bytes);
    this.#inflated = 0;
    this.#deliver();
  }

  /** Hand on what is whole, as long as it is wanted; then the end, if that has come. */
  #deliver(): void {
    // Who is being handed something may resume us; the loop goes on by itself.
    if (this.#delivering || this.#waitsForTurn) return;
    this.#delivering = true;
    for (let bytes = this.#next(); bytes !== undefined; bytes = this.#next())
      this.#events?.onData(bytes);
    this.#delivering = false;
    this.#reader.release();
    if (this.#paused || this.#destroyed || this.#waitsForTurn || !this.#peerEnded) return;
    if (!this.#endDelivered) {
      this.#endDelivered = true;
      if (this.#reader.partialSince > 0) return this.#fail(new Error('it ended inside a chunk'));
      this.#events?.onEnd();
    }
    if (this.#closed) this.#finish();
  }

  #next(): Buffer | undefined {
    if (this.#paused || this.#destroyed) return undefined;
    if (isTurnOver()) {
      this.#waitForTurn();
      return undefined;
    }
    try {
      return this.#reader.next(this.#spend);
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  #waitForTurn(): void {
    this.#waitsForTurn = true;
    this.#inner.pause();
    const goOn = (): void => {
      this.#waitsForTurn = false;
      // After onClose nothing is delivered.
      if (this.#closed && !this.#peerEnded) return;
      this.#deliver();
      if (!this.#paused && !this.#destroyed && !this.#waitsForTurn) this.#inner.resume();
    };
    const failed = (error: unknown): void => {
      this.#error ??= faultError(this.remoteAddress, error);
      this.destroy();
    };
    onNextTurn(guarded(goOn, failed));
  }

  readonly #spend = (bytes: number): void => {
    spend(unitsOf(bytes));
    this.#inflated += bytes;
    if (this.#inflated <= this.#maxInflatedBytes) return;
    const what = `a chunk from ${this.remoteAddress} inflates to more than maxInflatedBytes, ${this.#maxInflatedBytes}`;
    throw gettyError('INFLATE_LIMIT', what);
  };

  #fail(error: unknown): void {
    const known = isInstance(error, GettyError);
    this.#error ??= known
      ? error
      : gettyError(
          'BAD_FRAME',
          `${this.remoteAddress} sent what is no snappy stream: ${messageOf(error)}`,
          error,
        );
    this.destroy();
  }

  /** Message transports compress by themselves; nobody wraps them. */
  onMessage(bytes: Buffer): void {
    this.#events?.onMessage(bytes);
  }

  onAlive(): void {
    this.#events?.onAlive();
  }

  onTaken(): void {
    this.#events?.onTaken();
  }

  onEnd(): void {
    this.#peerEnded = true;
    this.#deliver();
  }

  onClose(error?: Error): void {
    this.#error ??= error;
    this.#closed = true;
    this.#uncompressed.clear();
    // What came before an orderly end is still read.
    if (this.#destroyed || !this.#peerEnded) this.#finish();
    else this.#deliver();
  }

  #finish(): void {
    this.#events?.onClose(this.#error);
  }
}
