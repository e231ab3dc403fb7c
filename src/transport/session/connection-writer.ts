/**
 * Writes to a connection. While the operating system does not take bytes at once, further bytes
 * wait in few large buffers. Many small chunks for a slow peer would take much more memory.
 */

import { allocate, copy, keepable } from '../../core/bytes.js';
import { ByteWriter, FLUSH_BYTES } from '../buffers/byte-writer.js';
import { PendingBuffer } from '../buffers/pending-buffer.js';
import type { Connection } from '../types.js';

/** Bytes. Smaller chunks are copied when they may have to wait: a copy costs little. */
const SMALL_CHUNK = 2048;
/**
 * Chunks below this size, and chunks that fill less than half of their buffer, wait while the
 * connection has unsent bytes. The buffer in which they wait has at least this size. Bytes.
 */
const PENDING_CHUNK = 16 * 1024;

/** The session of a writer. */
export interface WritingSession {
  /** The connection threw `error` when it was given bytes, or was ended. Ends the session. */
  onWriteFault(error: unknown): void;
}

export class ConnectionWriter {
  /** See ConnectionCapabilities. Also an empty message is written then. */
  readonly writesEachMessage: boolean;
  protected readonly connection: Connection;
  protected readonly session: WritingSession;
  readonly #copiesOnWrite: boolean;
  /** Whether the connection adds a frame to each message. */
  readonly #framesMessages: boolean;
  /** The last known value of bufferedBytes of the connection. */
  #buffered = 0;
  /** Whether the connection could not send all bytes of the last write at once. */
  #isBackedUp = false;
  /**
   * Bytes that the connection does not have yet. They are in the free space of a buffer whose first
   * bytes the connection has, or in a separate buffer.
   */
  #pending: PendingBuffer | undefined;
  #isStopped = false;

  constructor(connection: Connection, session: WritingSession) {
    this.connection = connection;
    this.session = session;
    this.writesEachMessage = connection.capabilities?.writesEachMessage === true;
    this.#copiesOnWrite = connection.capabilities?.copiesOnWrite === true;
    this.#framesMessages = connection.endMessage !== undefined;
  }

  /** Bytes that the operating system has not taken. */
  get unsentBytes(): number {
    return this.#buffered + (this.#pending?.length ?? 0);
  }

  /**
   * Bytes that count toward highWaterMark and maxQueuedBytes: unsentBytes, and the memory that
   * messages take besides while they wait for a rate.
   */
  get countedBytes(): number {
    return this.#buffered + (this.#pending?.length ?? 0);
  }

  /** Whether the operating system has taken all bytes that the connection has. */
  get isDrained(): boolean {
    return this.#buffered === 0;
  }

  /** Those of unsentBytes that wait for a rate, not for the peer. */
  get heldBytes(): number {
    return 0;
  }

  /**
   * From when on the peer, which has been silent since `readAt`, could have answered: a time of
   * now(). Infinity: what it may answer waits for a rate.
   */
  answerableSince(readAt: number): number {
    return readAt;
  }

  protected get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Writes nothing more, and drops the pending bytes. */
  stop(): void {
    this.#isStopped = true;
    this.#pending = undefined;
  }

  /** For writesEachMessage: writes the message in `output`, also an empty one, and empties it. */
  writeAlone(output: ByteWriter): void {
    const { bytes, length } = output;
    const keepsBytes = !this.#copiesOnWrite;
    const isCopied = keepsBytes && this.#isBackedUp && length * 2 < bytes.length;
    if (!this.#isStopped) this.writeNow(isCopied ? keepable(bytes, 0, length) : output.written);
    if (keepsBytes && this.#isBackedUp && !isCopied) output.detach();
    else ByteWriter.setLength(output, 0);
  }

  /** Writes the messages in `output`, and empties `output`. */
  writeAll(output: ByteWriter): void {
    const { bytes, length } = output;
    if (length === 0 || this.#isStopped) return;
    const view = output.written;
    // A chunk that waits keeps its whole buffer in memory, so it must not be much smaller.
    if (this.#buffered > 0 && (length < PENDING_CHUNK || length * 2 < bytes.length)) {
      this.#addPending(view);
      ByteWriter.setLength(output, 0);
      return;
    }
    this.flushPending();
    // So a chunk is copied if it is small and may have to wait (Node.js takes the copy from a
    // pool), or if it fills a small part of its buffer.
    const isCopied = this.#isBackedUp ? length < SMALL_CHUNK : length * 8 < bytes.length;
    this.writeNow(isCopied ? copy(view) : view);
    if (isCopied || !this.#isBackedUp) ByteWriter.setLength(output, 0);
    else {
      this.#pending = new PendingBuffer(bytes, length);
      output.detach();
    }
  }

  /** Writes a copy of `bytes` after the pending bytes. */
  writeCopy(bytes: Uint8Array): void {
    this.flushPending();
    if (!this.#isStopped) this.writeNow(copy(bytes));
  }

  /** Gives the pending bytes to the connection in one chunk. */
  flushPending(): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending !== undefined && pending.length > 0) this.writeNow(pending.bytes);
  }

  /** The operating system has taken more bytes. */
  onTaken(): void {
    this.#buffered = this.connection.bufferedBytes;
    if (this.#buffered === 0) this.flushPending();
  }

  /** Gives all bytes to the connection. */
  flushAll(): void {
    this.flushPending();
  }

  /** Gives the connection what it may have now: the session accepts no more messages. */
  flushBeforeClose(): void {
    this.flushPending();
  }

  /** Ends this side of the connection behind all bytes; see Connection.end(). */
  end(code: number | undefined, reason: string | undefined): void {
    try {
      this.connection.end(code, reason);
    } catch (error) {
      this.session.onWriteFault(error);
    }
  }

  /**
   * Writes `bytes`, which are never overwritten. While the connection has unsent bytes, a copy of a
   * small chunk waits instead: many small chunks would take much more memory than their bytes.
   */
  protected writeOrKeep(bytes: Uint8Array): void {
    if (this.#buffered > 0 && bytes.length < PENDING_CHUNK) return this.#addPending(bytes);
    this.flushPending();
    this.writeNow(bytes);
  }

  protected writeNow(bytes: Uint8Array): void {
    // A stream of the program can throw. The caller may be the handler of another connection.
    try {
      this.connection.write(bytes);
    } catch (error) {
      return this.session.onWriteFault(error);
    }
    this.#buffered = this.connection.bufferedBytes;
    this.#isBackedUp = this.#buffered > 0;
  }

  #addPending(bytes: Uint8Array): void {
    let rest = bytes;
    if (this.#pending !== undefined && rest.length > this.#pending.space) {
      // The buffer is filled completely, unless the connection puts its own frames between
      // messages.
      const space = this.#framesMessages ? 0 : this.#pending.space;
      this.#pending.append(rest.subarray(0, space));
      rest = rest.subarray(space);
      this.flushPending();
    }
    this.#pending ??= new PendingBuffer(
      allocate(
        Math.max(rest.length, Math.min(FLUSH_BYTES, Math.max(PENDING_CHUNK, this.#buffered))),
      ),
      0,
    );
    this.#pending.append(rest);
    // If the system has taken all bytes meanwhile, the connection does not call onTaken() again.
    if (this.#buffered === 0) this.flushPending();
  }
}
