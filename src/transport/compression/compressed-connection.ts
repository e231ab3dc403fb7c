/** The base of the compressed connections: each wraps the connection of a stream. */
import { type GettyError, gettyError } from '../../core/errors.js';
import type {
  Connection,
  ConnectionCapabilities,
  ConnectionEvents,
  MessageLimits,
} from '../types.js';
import { UnflushedWrites } from './unflushed-writes.js';

const CAPABILITIES: ConnectionCapabilities = { canHalfOpen: true };

/** A subclass compresses in write(), and inflates in onData() and readNext(). */
export abstract class CompressedConnection implements Connection, ConnectionEvents {
  readonly capabilities = CAPABILITIES;
  /** The connection that carries the compressed bytes. */
  protected readonly inner: Connection;
  protected events: ConnectionEvents | undefined;
  protected readonly unflushed = new UnflushedWrites();
  /** Bytes of the compressed stream that were written to `inner`. */
  protected compressedBytes = 0;
  protected isEnding = false;
  /** Bytes into which the chunk being read has inflated so far. */
  protected inflatedBytes = 0;
  protected isPaused = false;
  protected hasPeerEnded = false;
  protected isDestroyed = false;
  protected isInnerClosed = false;
  protected error: Error | undefined;
  readonly #maxInflatedBytes: number;

  constructor(inner: Connection, maxInflatedBytes: number) {
    this.inner = inner;
    this.#maxInflatedBytes = maxInflatedBytes;
  }

  get localAddress(): string {
    return this.inner.localAddress;
  }

  get remoteAddress(): string {
    return this.inner.remoteAddress;
  }

  get encrypted(): boolean | undefined {
    return this.inner.encrypted;
  }

  get socket(): object | undefined {
    return this.inner.socket;
  }

  attach(events: ConnectionEvents, limits: MessageLimits): void {
    this.events = events;
    this.inner.attach(this, limits);
  }

  /** Bytes before compression whose compressed form `inner` has not sent. */
  get bufferedBytes(): number {
    return this.unflushed.bytesNotTaken(this.compressedBytes - this.inner.bufferedBytes);
  }

  abstract write(bytes: Uint8Array): void;

  /** Whether writes wait to be compressed. */
  protected abstract get isCompressing(): boolean;

  /** Sends what is written, then ends the inner connection. */
  end(): void {
    this.isEnding = true;
    if (!this.isCompressing) this.inner.end();
  }

  abstract pause(): void;
  abstract resume(): void;

  destroy(): void {
    this.isDestroyed = true;
    this.inner.destroy();
    // `inner` may have closed earlier, while its last bytes were still being inflated.
    if (this.isInnerClosed) this.finish();
  }

  abstract onData(bytes: Buffer): void;

  /** Delivers received bytes until none are left or reading stops. Then reports the end. */
  abstract readNext(): void;

  /** Adds to inflatedBytes. Returns the error when that exceeds maxInflatedBytes. */
  protected addInflated(bytes: number): GettyError | undefined {
    this.inflatedBytes += bytes;
    if (this.inflatedBytes <= this.#maxInflatedBytes) return undefined;
    const what = `a chunk from ${this.remoteAddress} inflates to more than maxInflatedBytes, ${this.#maxInflatedBytes}`;
    return gettyError('INFLATE_LIMIT', what);
  }

  /**
   * Never called, but ConnectionEvents requires it. Message transports are not wrapped, because
   * they compress each message themselves.
   */
  onMessage(bytes: Buffer): void {
    this.events?.onMessage(bytes);
  }

  onAlive(): void {
    this.events?.onAlive();
  }

  onTaken(): void {
    this.events?.onTaken();
  }

  onEnd(): void {
    this.hasPeerEnded = true;
    this.readNext();
  }

  onClose(error?: Error): void {
    this.error ??= error;
    this.isInnerClosed = true;
    // Bytes that arrived before an orderly end are still inflated and delivered. A paused session
    // must hear at once that the connection is lost.
    const isLost = !this.hasPeerEnded || (error !== undefined && this.isPaused);
    if (this.isDestroyed || isLost) this.finish();
    else this.readNext();
  }

  fail(error: Error): void {
    this.error ??= error;
    this.destroy();
  }

  protected finish(): void {
    this.events?.onClose(this.error);
  }
}
