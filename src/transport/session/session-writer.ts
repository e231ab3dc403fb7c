/**
 * Writes for a session: encodes messages into one buffer per tick, limits the queued bytes, and
 * counts the bytes that the operating system has taken.
 */
import { refusePromise } from '../../core/callbacks.js';
import { asGettyError, type GettyError } from '../../core/errors.js';
import { checkArray, checkNames, checkNumber } from '../../core/options.js';
import { checkSignal, reasonOf } from '../../core/signals.js';
import { LONGEST_TIMER } from '../../core/timers.js';
import { spend, unitsOf } from '../../core/turn.js';
import { ByteWriter, FLUSH_BYTES } from '../buffers/byte-writer.js';
import type { SharedMessage } from '../buffers/shared-message.js';
import { SEND_OPTION_NAMES } from '../option-names.js';
import type { SessionRates } from '../rate/session-rates.js';
import type { Codec, Connection, SendOptions, SendResult, Session } from '../types.js';
import { ConnectionWriter, type WritingSession } from './connection-writer.js';
import { type Flushable, flushSoon } from './flush-scheduler.js';
import { notEncodedError, SendWaiter, Waiters } from './send-waiter.js';
import {
  abortedError,
  blockedError,
  closedError,
  nestedWriteError,
  sentTooLargeError,
} from './session-errors.js';
import type { ResolvedSetup } from './session-options.js';

/**
 * While at most this number of sessions write, the first portion of a tick is sent early, so that
 * the peer can begin to work before the tick ends. Each further portion is larger, because a system
 * call is expensive.
 */
const FEW_SESSIONS = 2;
/** Bytes. */
const FIRST_PORTION = 1024;
const PORTION_GROWTH = 8;
/** Bytes. Only larger messages are counted as work of the turn. */
const LARGE_MESSAGE = 4096;

/**
 * Bytes. Messages of many sessions are copied behind other messages of the tick only if they are
 * smaller.
 */
const MIN_SHARED_BYTES = 16 * 1024;

const NOT_ENCODING = -1;

export class SessionWriter<In, Out> implements Flushable {
  /** Bytes of messages, as the codec encoded them. */
  bytesWritten = 0;
  messagesWritten = 0;
  readonly #connection: Connection;
  readonly #writesEachMessage: boolean;
  /** Whether the connection adds a frame to each message. */
  readonly #framesMessages: boolean;
  readonly #setup: ResolvedSetup<In, Out>;
  readonly #target: ConnectionWriter;
  /** Undefined until the first send() or drained(): most sessions have none. */
  #waiters: Waiters | undefined;
  /**
   * The length of the outgoing stream in bytes: flushed and not flushed, with the headers that the
   * connection adds to messages.
   */
  #position = 0;
  /** Messages of this tick that are not flushed. */
  #output: ByteWriter | undefined;
  /** The bytes of the largest portion of this tick. */
  #largestPortion = 0;
  /** The expected bytes of the next tick, estimated from earlier ticks. */
  #expected = 0;
  /** When this many bytes are queued, they are flushed before the tick ends. */
  #portion = FLUSH_BYTES;
  /** The last result of flushSoon(). */
  #lastFlush = 0;
  /** The position in `#output` of the message that the codec is encoding. */
  #encodingFrom = NOT_ENCODING;
  #isClosed = false;
  /** Whether the connection takes no more bytes. */
  #isGone = false;

  /** `rates`: of a session with a rate. */
  constructor(
    connection: Connection,
    setup: ResolvedSetup<In, Out>,
    session: WritingSession,
    rates?: SessionRates,
  ) {
    const delayed = rates?.makeWriter(connection, session, () => this.#settleIfDrained());
    this.#connection = connection;
    this.#writesEachMessage =
      delayed !== undefined || connection.capabilities?.writesEachMessage === true;
    this.#framesMessages = connection.endMessage !== undefined;
    this.#setup = setup;
    this.#target = delayed ?? new ConnectionWriter(connection, session);
  }

  get queuedBytes(): number {
    return this.#target.unsentBytes + (this.#output?.length ?? 0);
  }

  /** See ConnectionWriter. */
  get #countedBytes(): number {
    return this.#target.countedBytes + (this.#output?.length ?? 0);
  }

  /** See ConnectionWriter. */
  answerableSince(readAt: number): number {
    return this.#target.answerableSince(readAt);
  }

  /** Whether bytes wait for the peer to read. */
  get isPeerSlow(): boolean {
    return this.queuedBytes > this.#target.heldBytes;
  }

  /** The position of the outgoing stream up to which the operating system has taken all bytes. */
  get takenPosition(): number {
    return this.#position - this.queuedBytes;
  }

  /** See Session.write. */
  write(message: Out, codec: Codec<In, Out>, session: Session<In, Out>): boolean {
    const output = this.#writable();
    const connection = this.#connection;
    const start = output.length;
    if (this.#framesMessages) connection.beginMessage?.(output);
    const content = output.length;
    let size = 0;
    this.#encodingFrom = start;
    ByteWriter.beginMessage(output);
    try {
      const outcome: unknown = codec.write(output, message, session);
      if (outcome !== undefined) refusePromise('ENCODE_FAILED', 'write() of the codec', outcome);
      if (this.#isClosed) throw this.#closedError();
      this.#encodingFrom = NOT_ENCODING;
      size = output.length - content;
      const { maxMessageBytes } = this.#setup;
      if (size > maxMessageBytes)
        throw sentTooLargeError(connection.remoteAddress, size, maxMessageBytes);
      if (this.#framesMessages) connection.endMessage?.(output, start);
    } catch (error) {
      if (this.#encodingFrom === NOT_ENCODING) this.#undo(output, start);
      else this.#leaveToCodec(output, start);
      throw error;
    }
    this.messagesWritten++;
    return this.#wrote(output, size, output.length - start);
  }

  /**
   * Writes a message that is encoded for many sessions. Adds this writer to `unflushed` if the
   * caller must call flush(). Throws as Session.write, but does not check maxMessageBytes.
   */
  writeShared(message: SharedMessage, unflushed: Flushable[]): void {
    const shared = this.#writesEachMessage ? undefined : message.bytesFor(this.#connection);
    if (shared === undefined || !ByteWriter.canAlias(shared)) return this.#append(message, shared);
    // In these cases #writable() throws.
    if (this.#isClosed || this.#encodingFrom !== NOT_ENCODING || this.isBlocked) this.#writable();
    if (shared.length >= MIN_SHARED_BYTES) this.flush();
    if (this.#output !== undefined) return this.#append(message, shared);
    this.#output = ByteWriter.aliasOf(shared);
    // While the writer has only these bytes, it must not be emptied and used again: the next
    // message would overwrite them. An empty message does not reach this portion.
    this.#portion = Math.max(FLUSH_BYTES, shared.length + 1);
    unflushed.push(this);
    this.bytesWritten += message.payload.length;
    this.messagesWritten++;
    this.#position += shared.length;
  }

  /** `shared`: the frame of `message`. Undefined: the connection makes it. */
  #append(message: SharedMessage, shared: Uint8Array | undefined): void {
    const output = this.#writable();
    const start = output.length;
    try {
      if (shared === undefined) message.appendTo(output, this.#connection);
      else output.append(shared);
    } catch (error) {
      this.#undo(output, start);
      throw error;
    }
    this.messagesWritten++;
    this.#wrote(output, message.payload.length, output.length - start);
  }

  /** See Session.writeBytesArray. */
  writeChunks(chunks: readonly Uint8Array[]): boolean {
    const output = this.#writable();
    const start = output.length;
    this.#connection.beginMessage?.(output);
    const content = output.length;
    let size = 0;
    // Reading the chunks can run code of the program, which can close the session or write to it.
    this.#encodingFrom = start;
    try {
      appendChunks(output, chunks);
      if (this.#isClosed) throw this.#closedError();
      this.#encodingFrom = NOT_ENCODING;
      size = output.length - content;
      this.#connection.endMessage?.(output, start);
    } catch (error) {
      this.#encodingFrom = NOT_ENCODING;
      this.#undo(output, start);
      throw error;
    }
    return this.#wrote(output, size, output.length - start);
  }

  /** `write` writes the message; see Session.send. */
  send(write: () => void, options?: SendOptions): Promise<SendResult> {
    let timeout: number | undefined;
    let signal: AbortSignal | undefined;
    const start = this.#position;
    const before = this.bytesWritten;
    try {
      if (options !== undefined) {
        checkNames('send()', options, SEND_OPTION_NAMES);
        ({ timeout, signal } = options);
      }
      if (timeout !== undefined) checkNumber('timeout', timeout, 0, LONGEST_TIMER);
      checkSignal(signal);
      if (signal?.aborted) throw abortedError(reasonOf(signal));
      this.#connection.requestWriteAck?.();
      write();
    } catch (error) {
      return Promise.reject(notEncodedError(error));
    }
    const encodedBytes = this.bytesWritten - before;
    return new Promise((resolve, reject) => {
      const waiter = new SendWaiter(start, this.#position, encodedBytes, this, resolve, reject);
      waiter.limit(timeout, signal, this.#connection.remoteAddress);
      this.#waiters ??= new Waiters();
      this.#waiters.addSend(waiter);
    });
  }

  /** See Session.drained. */
  drained(): Promise<void> {
    if (this.#isGone) return Promise.reject(this.#closedError());
    const excess = this.#countedBytes - this.#setup.highWaterMark;
    if (excess < 0) return Promise.resolve();
    // To be below the mark, one byte more than the excess must be taken.
    const position = Math.min(this.#position, this.takenPosition + excess + 1);
    return new Promise((resolve, reject) => {
      this.#waiters ??= new Waiters();
      this.#waiters.addDrain(position, resolve, reject);
    });
  }

  get isBehind(): boolean {
    return this.#countedBytes >= this.#setup.highWaterMark;
  }

  /** Whether the queue, with the waits of send(), is at maxQueuedBytes. */
  get isBlocked(): boolean {
    return this.#countedBytes + (this.#waiters?.bytes ?? 0) >= this.#setup.maxQueuedBytes;
  }

  /**
   * As drained(). If waits of send() block the session, settles when the bytes for which they wait
   * have been taken.
   */
  unblocked(): Promise<void> {
    if (this.#isGone || !this.isBlocked) return this.drained();
    return new Promise((resolve, reject) => {
      const settle = (error?: GettyError): void =>
        error === undefined ? resolve() : reject(error);
      this.#waiters ??= new Waiters();
      this.#waiters.addSend({ position: this.#position, settle });
    });
  }

  #writable(): ByteWriter {
    if (this.#isClosed) throw this.#closedError();
    if (this.#encodingFrom !== NOT_ENCODING) throw nestedWriteError();
    if (this.isBlocked) throw this.#blockedError();
    let output = this.#output;
    if (output === undefined) {
      output = ByteWriter.borrow(this.#expected);
      this.#output = output;
      if (!this.#writesEachMessage) this.#beginTick();
    }
    return output;
  }

  #beginTick(): void {
    const flush = flushSoon(this);
    const isOneOfFew = ((flush - this.#lastFlush) | 0) <= FEW_SESSIONS;
    this.#lastFlush = flush;
    this.#portion = isOneOfFew ? FIRST_PORTION : FLUSH_BYTES;
  }

  /** Removes the message that began at `start`. */
  #undo(output: ByteWriter, start: number): void {
    // A small request may cause a large answer that cannot be sent. Its encoding is work too.
    spend(unitsOf(output.length - start));
    // The session may have been closed meanwhile, which has removed the message.
    if (this.#output !== output) return;
    ByteWriter.setLength(output, start);
    // No flush of this tick returns the writer to its pool.
    if (!this.#writesEachMessage) return;
    this.#output = undefined;
    ByteWriter.release(output);
  }

  /**
   * Removes the message that began at `start`, whose codec has failed. It may go on to write into
   * `output`, if it is asynchronous, so another writer takes its place.
   */
  #leaveToCodec(output: ByteWriter, start: number): void {
    this.#encodingFrom = NOT_ENCODING;
    spend(unitsOf(output.length - start));
    // If the codec has closed the session, the message is removed already.
    if (this.#output !== output) return;
    this.#output = this.#writesEachMessage ? undefined : ByteWriter.borrow(start);
    this.#output?.append(output.bytes.subarray(0, start));
  }

  /** `size`: bytes of the message as encoded. `length`: bytes in `output`. */
  #wrote(output: ByteWriter, size: number, length: number): boolean {
    this.bytesWritten += size;
    this.#position += length;
    // A small request can have a large answer, which counts before the next request is read.
    if (size > LARGE_MESSAGE) spend(unitsOf(size));
    if (this.#writesEachMessage) {
      // An empty message counts as one byte, so that its send() waits until it is sent.
      if (length === 0 && this.#target.writesEachMessage) this.#position++;
      this.#writeAlone(output);
    } else if (output.length >= this.#portion) {
      this.#largestPortion = Math.max(this.#largestPortion, output.length);
      this.#target.writeAll(output);
      this.#portion = Math.min(this.#portion * PORTION_GROWTH, FLUSH_BYTES);
    }
    return this.#target.countedBytes + output.length < this.#setup.highWaterMark;
  }

  #writeAlone(output: ByteWriter): void {
    this.#output = undefined;
    this.#target.writeAlone(output);
    ByteWriter.release(output);
  }

  /** Writes all queued messages to the connection. Called at the end of the tick. */
  flush(): void {
    const output = this.#output;
    if (output === undefined) return;
    this.#output = undefined;
    this.#expected = Math.max(
      this.#largestPortion,
      output.length,
      this.#expected - (this.#expected >> 3),
    );
    this.#largestPortion = 0;
    this.#target.writeAll(output);
    ByteWriter.release(output);
    this.#settleIfDrained();
  }

  /** Without an acknowledgment, the bytes are taken when the connection has none. */
  #settleIfDrained(): void {
    if (this.#target.isDrained && this.#connection.requestWriteAck === undefined)
      this.#settleWaiters();
  }

  /** The operating system has taken more bytes. */
  onTaken(): void {
    // A destroyed connection drops bytes. In most cases all bytes were taken when they were
    // written.
    if (this.#isGone || (this.#target.isDrained && !this.#waiters?.count)) return;
    this.#target.onTaken();
    this.#settleWaiters();
  }

  #settleWaiters(): void {
    if (this.#waiters?.count) this.#waiters.settle(this.takenPosition);
  }

  /** Gives all messages to the connection. Throws ENCODE_FAILED within write() of a codec. */
  flushAll(): void {
    if (this.#encodingFrom !== NOT_ENCODING) throw nestedWriteError();
    this.flush();
    this.#target.flushAll();
    this.#settleIfDrained();
  }

  /** Accepts no more messages. Queued messages are sent. */
  close(): void {
    if (this.#encodingFrom === NOT_ENCODING) this.flush();
    else this.#flushBefore(this.#encodingFrom);
    this.#target.flushBeforeClose();
    this.#isClosed = true;
  }

  /** After close(): ends this side of the connection behind all messages. */
  end(code: number | undefined, reason: string | undefined): void {
    this.#target.end(code, reason);
  }

  /** For a codec that closes the session while it encodes: writes the messages before `end`. */
  #flushBefore(end: number): void {
    const output = this.#output;
    this.#output = undefined;
    if (output !== undefined && end > 0) this.#target.writeCopy(output.bytes.subarray(0, end));
  }

  /** Sends nothing more. Waiters are settled by onGone(). */
  stop(): void {
    this.#isClosed = true;
    this.#isGone = true;
    this.#target.stop();
  }

  /** The connection is closed; `cause` is the reason. */
  onGone(cause: Error | undefined): void {
    this.stop();
    // A codec that destroys its session while it encodes still writes into the buffer.
    if (this.#output !== undefined && this.#encodingFrom === NOT_ENCODING)
      ByteWriter.release(this.#output);
    this.#output = undefined;
    this.#waiters?.fail(this.#closedError(cause));
  }

  // Errors are created in separate methods, so that V8 can inline #writable() into write().

  #closedError(cause?: unknown): GettyError {
    return closedError(this.#connection.remoteAddress, cause);
  }

  #blockedError(): GettyError {
    const { maxQueuedBytes } = this.#setup;
    const { remoteAddress } = this.#connection;
    return blockedError(remoteAddress, this.#countedBytes, this.#waiters, maxQueuedBytes);
  }
}

/** Throws BAD_OPTION. */
function appendChunks(output: ByteWriter, chunks: readonly Uint8Array[]): void {
  checkArray('chunks', chunks);
  try {
    for (const chunk of chunks) output.append(chunk);
  } catch (error) {
    throw asGettyError(error, 'BAD_OPTION', 'the bytes to write cannot be read');
  }
}
