/**
 * Compression of a stream, wrapped round a connection. Snappy has its own file; here is raw
 * DEFLATE, one continuous compressor per direction, with a sync flush after every write, as Go's
 * compress/flate does (every write ends 00 00 ff ff).
 */
import { constants, createDeflateRaw, createInflateRaw } from 'node:zlib';
import { gettyError, messageOf } from '../../core/errors.js';
import { badOption } from '../../core/options.js';
import { Queue } from '../../core/queue.js';
import type {
  Compression,
  Connection,
  ConnectionCapabilities,
  ConnectionEvents,
  MessageLimits,
} from '../types.js';
import { SnappyConnection } from './snappy-connection.js';
import { Untaken } from './untaken.js';

/**
 * The connection itself for `none`. Throws BAD_OPTION where messages may be lost: the compressor of
 * what follows would be out of step.
 */
export function compress(
  connection: Connection,
  compression: Compression,
  maxInflatedBytes: number,
): Connection {
  if (compression === 'none') return connection;
  if (connection.capabilities?.isLossy)
    throw badOption('compression', compression, `'none' for ${connection.remoteAddress}`);
  const ownMessages = connection.endMessage !== undefined;
  if (ownMessages && compression === 'snappy')
    throw badOption(
      'compression',
      compression,
      `'none' or DEFLATE for ${connection.remoteAddress}`,
    );
  // A WebSocket compresses by itself, message by message.
  if (ownMessages) return connection;
  if (compression === 'snappy') return new SnappyConnection(connection, maxInflatedBytes);
  const level = compression === 'deflate' ? constants.Z_DEFAULT_COMPRESSION : compression.deflate;
  return new DeflateConnection(connection, level, maxInflatedBytes);
}

const CAPABILITIES: ConnectionCapabilities = { canHalfOpen: true };

class DeflateConnection implements Connection, ConnectionEvents {
  readonly capabilities = CAPABILITIES;
  readonly #inner: Connection;
  readonly #deflate;
  readonly #inflate;
  readonly #maxInflatedBytes: number;
  #events: ConnectionEvents | undefined;
  readonly #untaken = new Untaken();
  #compressing = 0;
  #compressedBytes = 0;
  #ending = false;
  /**
   * Received chunks that are not inflated yet; one is inflated at a time, so that its output can be
   * limited.
   */
  readonly #received = new Queue<Buffer>();
  #inflating = false;
  #inflated = 0;
  #receivedBytes = 0;
  #streamEnded = false;
  #paused = false;
  #peerEnded = false;
  #destroyed = false;
  #closed = false;
  #error: Error | undefined;

  constructor(inner: Connection, level: number, maxInflatedBytes: number) {
    this.#inner = inner;
    this.#maxInflatedBytes = maxInflatedBytes;
    this.#deflate = createDeflateRaw({ level });
    this.#inflate = createInflateRaw();
    this.#deflate.on('data', (bytes: Buffer) => {
      this.#compressedBytes += bytes.length;
      inner.write(bytes);
    });
    this.#inflate.on('data', (bytes: Buffer) => this.#onInflated(bytes));
    this.#inflate.on('end', () => {
      // zlib drops what comes after the final block without a word.
      this.#streamEnded = true;
      if (this.#inflate.bytesWritten < this.#receivedBytes) this.#failAfterEnd();
    });
    for (const stream of [this.#deflate, this.#inflate])
      stream.on('error', (error) =>
        this.#fail(
          gettyError(
            'BAD_FRAME',
            `${this.remoteAddress} sent what cannot be inflated: ${messageOf(error)}`,
            error,
          ),
        ),
      );
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
    this.#compressing++;
    this.#deflate.write(bytes);
    this.#deflate.flush(constants.Z_SYNC_FLUSH, () => {
      if (this.#destroyed) return;
      // Output may still wait in the stream: its callback comes before its 'data'. In flowing mode
      // read() emits 'data'.
      while (this.#deflate.read() !== null);
      write.end = this.#compressedBytes;
      this.#compressing--;
      if (this.#ending && this.#compressing === 0) this.#inner.end();
      this.#events?.onTaken();
    });
  }

  end(): void {
    this.#ending = true;
    if (this.#compressing === 0) this.#inner.end();
  }

  pause(): void {
    this.#paused = true;
    this.#inflate.pause();
    this.#inner.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#inflate.resume();
    this.#inflateNext();
  }

  destroy(): void {
    this.#received.clear();
    this.#destroyed = true;
    this.#inner.destroy();
    // The inner connection may be gone already, while we were still inflating what it brought.
    if (this.#closed) this.#finish();
  }

  onData(bytes: Buffer): void {
    this.#received.push(bytes);
    this.#inner.pause();
    this.#inflateNext();
  }

  #inflateNext(): void {
    if (this.#inflating) return;
    while (!this.#paused && this.#inflate.read() !== null);
    if (this.#paused) return;
    const bytes = this.#received.shift();
    if (bytes === undefined) {
      if (this.#closed) this.#finish();
      else if (this.#peerEnded) this.#events?.onEnd();
      else this.#inner.resume();
      return;
    }
    if (this.#streamEnded) return this.#failAfterEnd();
    this.#inflating = true;
    this.#inflated = 0;
    this.#receivedBytes += bytes.length;
    this.#inflate.write(bytes, (error) => {
      this.#inflating = false;
      if (!error) this.#inflateNext(); // the stream's own 'error' event follows
    });
  }

  #onInflated(bytes: Buffer): void {
    if (this.#error !== undefined) return;
    this.#inflated += bytes.length;
    if (this.#inflated > this.#maxInflatedBytes) {
      this.#fail(
        gettyError(
          'INFLATE_LIMIT',
          `a chunk from ${this.remoteAddress} inflates to more than maxInflatedBytes, ${this.#maxInflatedBytes}`,
        ),
      );
    } else this.#events?.onData(bytes);
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
    this.#inflateNext();
  }

  #failAfterEnd(): void {
    this.#fail(
      gettyError(
        'BAD_FRAME',
        `${this.remoteAddress} sent more after the end of its compressed stream`,
      ),
    );
  }

  #fail(error: Error): void {
    this.#error ??= error;
    this.destroy();
  }

  onClose(error?: Error): void {
    this.#error ??= error;
    this.#closed = true;
    // What came before an orderly end is still inflated and read.
    if (this.#destroyed || !this.#peerEnded) this.#finish();
    else this.#inflateNext();
  }

  #finish(): void {
    // close() and not destroy(): zlib is freed when the write under way has come back.
    this.#deflate.close();
    this.#inflate.close();
    this.#events?.onClose(this.#error);
  }
}
