/**
 * What a session sends: messages of a tick gather in one buffer, and what the connection has not
 * taken is counted and limited.
 */

import { allocate, copy, keepable } from '../../core/bytes.js';
import { refusePromise } from '../../core/callbacks.js';
import { asGettyError, GettyError, gettyError } from '../../core/errors.js';
import { checkNames, checkNumber } from '../../core/options.js';
import { Queue } from '../../core/queue.js';
import { followSignal } from '../../core/signals.js';
import { LONGEST_TIMER, LongTimer } from '../../core/timers.js';
import { inTurns, spend, unitsOf } from '../../core/turn.js';
import { ByteWriter, FLUSH_BYTES } from '../buffers/byte-writer.js';
import { HeldBytes } from '../buffers/pending-buffer.js';
import { SEND_OPTION_NAMES } from '../option-names.js';
import type {
  Codec,
  Connection,
  SendOptions,
  SendResult,
  Session,
  SessionOptions,
} from '../types.js';
import { type Flushable, flushSoon } from './flush-scheduler.js';
import { tooLarge } from './session-options.js';

/**
 * While so few sessions write, none waits for another: the peer would have nothing to do until all
 * of a tick is written, and then we until it has answered. So the first portion of a tick leaves
 * early, and both work at once; each next one is larger, for system calls cost.
 */
const FEW = 2;
const FIRST_PORTION = 1024;
const PORTION_GROWTH = 8;
/** Bytes. To count smaller messages costs more than it tells. */
const LARGE_MESSAGE = 4096;
/** Below so many bytes a copy costs next to nothing. */
const SMALL = 2048;
/**
 * Chunks below this size, and chunks that fill less than half of their buffer, are held back while
 * the connection has not taken what it has. The buffer in which they wait is as large, or larger.
 */
const HELD = 16 * 1024;

const NOT_ENCODING = -1;

/** The rejection of send(): how far the message got, and why not further. */
export class SendError extends GettyError implements SendResult {
  readonly encodedBytes: number;
  readonly sentBytes: number;

  constructor(
    code: GettyError['code'],
    message: string,
    encodedBytes: number,
    sentBytes: number,
    cause?: unknown,
  ) {
    super(code, message, cause);
    this.name = 'SendError';
    this.encodedBytes = encodedBytes;
    this.sentBytes = sentBytes;
  }
}

/** Waits until all bytes up to `position` of the outgoing stream are taken. */
interface Waiter {
  readonly position: number;
  /** Undefined `error`: they are taken. */
  settle(error?: GettyError): void;
}

/** What a waiter with its promise takes in memory. Bytes. */
const WAITER_BYTES = 512;
/**
 * So many waiters of a session are not counted, so that a small `maxQueuedBytes` is that of bytes.
 */
const FREE_WAITERS = 64;

/** One send(). Very many may wait at once, so it has no closures. */
class SendWaiter implements Waiter {
  readonly position: number;
  readonly #start: number;
  readonly #encodedBytes: number;
  readonly #outbox: { readonly takenPosition: number };
  readonly #resolve: (result: SendResult) => void;
  readonly #reject: (error: SendError) => void;
  #timer: LongTimer | undefined;
  #release: (() => void) | undefined;
  #isSettled = false;

  /** The message lies between the positions `start` and `position`. */
  constructor(
    start: number,
    position: number,
    encodedBytes: number,
    outbox: { readonly takenPosition: number },
    resolve: (result: SendResult) => void,
    reject: (error: SendError) => void,
  ) {
    this.#start = start;
    this.position = position;
    this.#encodedBytes = encodedBytes;
    this.#outbox = outbox;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** It fails after `timeout` milliseconds, or when `signal` aborts. */
  limit(timeout: number | undefined, signal: AbortSignal | undefined, remoteAddress: string): void {
    if (timeout !== undefined) {
      this.#timer = new LongTimer(
        () =>
          this.#fail(
            'SEND_TIMEOUT',
            `${remoteAddress} did not take the message within ${timeout} ms`,
          ),
        timeout,
      );
    }
    if (signal !== undefined)
      this.#release = followSignal(signal, () =>
        this.#fail('ABORTED_BY_CALLER', 'the caller gave up', signal.reason),
      );
  }

  settle(error?: GettyError): void {
    if (error !== undefined) return this.#fail(error.code, error.message, error);
    if (this.#end())
      this.#resolve({ encodedBytes: this.#encodedBytes, sentBytes: this.#encodedBytes });
  }

  #fail(code: GettyError['code'], reason: string, cause?: unknown): void {
    if (!this.#end()) return;
    const encodedBytes = this.#encodedBytes;
    const sentBytes = Math.min(encodedBytes, Math.max(0, this.#outbox.takenPosition - this.#start));
    this.#reject(
      new SendError(
        code,
        `${reason}; ${sentBytes} of ${encodedBytes} bytes were sent`,
        encodedBytes,
        sentBytes,
        cause,
      ),
    );
  }

  /** False: it has been settled before. */
  #end(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#timer?.cancel();
    this.#release?.();
    return true;
  }
}

type Limits = Required<
  Pick<SessionOptions, 'highWaterMark' | 'maxQueuedBytes' | 'maxMessageBytes'>
>;

export class Outbox<In, Out> implements Flushable {
  /** As the codec made them. */
  bytesWritten = 0;
  messagesWritten = 0;
  readonly #connection: Connection;
  /** Of the connection's capabilities. */
  readonly #writesEachMessage: boolean;
  readonly #copiesOnWrite: boolean;
  readonly #hasOwnMessages: boolean;
  readonly #limits: Limits;
  /**
   * Every byte for the connection, flushed or not, with what it adds to messages: positions in the
   * outgoing stream.
   */
  #position = 0;
  #output: ByteWriter | undefined;
  /** The largest portion of this tick, so far. */
  #largest = 0;
  /** That of the last tick: so much may the next one need. */
  #expected = 0;
  /** So many bytes leave before the tick is over. */
  #portion = FLUSH_BYTES;
  /** As flushSoon() numbers them. */
  #lastFlush = 0;
  /** Bytes handed to the connection that it had not passed on when it was last asked. */
  #untaken = 0;
  /** Something was left untaken when last the connection was given bytes. */
  #slow = false;
  /**
   * What waits behind those: a peer that does not read must not cost a heap of small chunks. It
   * lies in what is left of a buffer that the connection has, or in one of its own.
   */
  #held: HeldBytes | undefined;
  /** Of send(). A waiter that has failed stays until the bytes before them are taken. */
  #sends: Queue<Waiter> | undefined;
  /** Of drained(): positions grow in each of the two, not in both together. */
  #drains: Queue<Waiter> | undefined;
  /** How many wait in both. */
  #waiting = 0;
  /** Where the message begins that the codec is writing now. */
  #encodingFrom = NOT_ENCODING;
  #closed = false;
  #gone = false;

  constructor(connection: Connection, limits: Limits) {
    this.#connection = connection;
    const { writesEachMessage = false, copiesOnWrite = false } = connection.capabilities ?? {};
    this.#writesEachMessage = writesEachMessage;
    this.#copiesOnWrite = copiesOnWrite;
    this.#hasOwnMessages = connection.endMessage !== undefined;
    this.#limits = limits;
  }

  get queuedBytes(): number {
    return this.#untaken + (this.#held?.length ?? 0) + (this.#output?.length ?? 0);
  }

  /** Up to which position of the outgoing stream bytes are taken. */
  get takenPosition(): number {
    return this.#position - this.queuedBytes;
  }

  /** See Session.write. */
  write(message: Out, codec: Codec<In, Out>, session: Session<In, Out>): boolean {
    const output = this.#writable();
    const connection = this.#connection;
    const start = output.length;
    if (this.#hasOwnMessages) connection.beginMessage?.(output);
    const content = output.length;
    let size = 0;
    this.#encodingFrom = start;
    try {
      const outcome: unknown = codec.write(output, message, session);
      if (outcome !== undefined) refusePromise('ENCODE_FAILED', 'write() of the codec', outcome);
      if (this.#closed) throw this.#closedError();
      this.#encodingFrom = NOT_ENCODING;
      size = output.length - content;
      if (size > this.#limits.maxMessageBytes)
        throw tooLarge(size, this.#limits.maxMessageBytes, `is for ${connection.remoteAddress}`);
      if (this.#hasOwnMessages) connection.endMessage?.(output, start);
    } catch (error) {
      this.#encodingFrom = NOT_ENCODING;
      this.#undo(output, start);
      throw error;
    }
    this.messagesWritten++;
    return this.#wrote(output, size, output.length - start);
  }

  /** See Session.writeBytesArray. */
  writeChunks(chunks: readonly Uint8Array[]): boolean {
    const output = this.#writable();
    const start = output.length;
    this.#connection.beginMessage?.(output);
    const content = output.length;
    let size = 0;
    try {
      for (const chunk of chunks) output.append(chunk);
      size = output.length - content;
      this.#connection.endMessage?.(output, start);
    } catch (error) {
      this.#undo(output, start);
      throw error;
    }
    return this.#wrote(output, size, output.length - start);
  }

  /** `write` is what sends it; see Session.send. */
  send(write: () => void, options: SendOptions = {}): Promise<SendResult> {
    const { timeout, signal } = options;
    const start = this.#position;
    const before = this.bytesWritten;
    try {
      checkNames('send()', options, SEND_OPTION_NAMES);
      if (timeout !== undefined) checkNumber('timeout', timeout, 0, LONGEST_TIMER);
      if (signal?.aborted)
        throw gettyError(
          'ABORTED_BY_CALLER',
          'the caller gave up before anything was sent',
          signal.reason,
        );
      this.#connection.requestWriteAck?.();
      write();
    } catch (error) {
      const known = asGettyError(error, 'ENCODE_FAILED', 'the codec failed');
      const cause = known.code === 'ABORTED_BY_CALLER' ? known.cause : error;
      return Promise.reject(new SendError(known.code, known.message, 0, 0, cause));
    }
    const encodedBytes = this.bytesWritten - before;
    return new Promise((resolve, reject) => {
      const waiter = new SendWaiter(start, this.#position, encodedBytes, this, resolve, reject);
      waiter.limit(timeout, signal, this.#connection.remoteAddress);
      this.#sends ??= new Queue();
      this.#sends.push(waiter);
      this.#waiting++;
    });
  }

  /** See Session.drained. */
  drained(): Promise<void> {
    if (this.#gone) return Promise.reject(this.#closedError());
    const excess = this.queuedBytes - this.#limits.highWaterMark;
    if (excess < 0) return Promise.resolve();
    // Below the mark: one byte more than the excess has to be taken.
    const position = this.takenPosition + excess + 1;
    return new Promise((resolve, reject) => {
      this.#drains ??= new Queue();
      this.#drains.push({
        position,
        settle: (error) => (error === undefined ? resolve() : reject(error)),
      });
      this.#waiting++;
    });
  }

  #writable(): ByteWriter {
    if (this.#closed) throw this.#closedError();
    if (this.#encodingFrom !== NOT_ENCODING) {
      throw gettyError(
        'ENCODE_FAILED',
        'write() of the codec wrote to its own session; append to the output instead',
      );
    }
    const { maxQueuedBytes } = this.#limits;
    const waiters =
      this.#waiting > FREE_WAITERS ? (this.#waiting - FREE_WAITERS) * WAITER_BYTES : 0;
    if (this.queuedBytes + waiters >= maxQueuedBytes) {
      const queued = `${this.queuedBytes} bytes are queued${waiters === 0 ? '' : ` and ${this.#waiting} calls of send() or drained() wait`}`;
      throw gettyError(
        'SESSION_BLOCKED',
        `${this.#connection.remoteAddress} does not read: ${queued}, maxQueuedBytes is ${maxQueuedBytes}`,
      );
    }
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
    const isBusy = ((flush - this.#lastFlush) | 0) <= FEW;
    this.#lastFlush = flush;
    this.#portion = isBusy ? FIRST_PORTION : FLUSH_BYTES;
  }

  /** Of the message that began at `start` nothing is sent. */
  #undo(output: ByteWriter, start: number): void {
    // The codec closed the session as it wrote.
    if (this.#output !== output) return;
    output.length = start;
    // No flush of this tick will give it back.
    if (this.#writesEachMessage) this.#sendAlone(output);
  }

  /** `size` as the codec made it, `taken` of the output. */
  #wrote(output: ByteWriter, size: number, taken: number): boolean {
    this.bytesWritten += size;
    this.#position += taken;
    // A small request may have a large answer: the next request waits until the time that it took
    // is known.
    if (size > LARGE_MESSAGE) spend(unitsOf(size));
    if (this.#writesEachMessage) this.#sendAlone(output);
    else if (output.length >= this.#portion) {
      this.#largest = Math.max(this.#largest, output.length);
      this.#passOn(output);
      this.#portion = Math.min(this.#portion * PORTION_GROWTH, FLUSH_BYTES);
    }
    return this.#untaken + (this.#held?.length ?? 0) + output.length < this.#limits.highWaterMark;
  }

  /** Hand what is queued to the connection. The flusher calls it at the end of the tick. */
  flush(): void {
    const output = this.#output;
    if (output === undefined) return;
    this.#output = undefined;
    this.#expected = Math.max(this.#largest, output.length, this.#expected - (this.#expected >> 3));
    this.#largest = 0;
    this.#passOn(output);
    ByteWriter.giveBack(output);
    if (this.#untaken === 0 && this.#connection.requestWriteAck === undefined)
      this.#settleWaiters();
  }

  /** One message, for a connection that gathers none. */
  #sendAlone(output: ByteWriter): void {
    this.#output = undefined;
    const { bytes, length } = output;
    const keeps = !this.#copiesOnWrite;
    const isCopied = keeps && this.#slow && length * 2 < bytes.length;
    if (length > 0 && !this.#gone)
      this.#hand(isCopied ? keepable(bytes, 0, length) : output.written);
    if (keeps && this.#slow && !isCopied) output.renew();
    else output.length = 0;
    ByteWriter.giveBack(output);
  }

  #passOn(output: ByteWriter): void {
    const { bytes, length } = output;
    if (length === 0 || this.#gone) return;
    const view = output.written;
    // What waits keeps its whole buffer waiting, so it must not be much smaller.
    if (this.#untaken > 0 && (length < HELD || length * 2 < bytes.length)) {
      this.#hold(view);
      output.length = 0;
      return;
    }
    this.#release();
    // What has to wait keeps its whole buffer waiting. So what may have to and is small goes as a
    // copy, which Node cuts from a slab, and so does what is small for its buffer.
    const copied = this.#slow ? length < SMALL : length * 8 < bytes.length;
    this.#hand(copied ? copy(view) : view);
    if (copied || !this.#slow) output.length = 0;
    else {
      this.#held = new HeldBytes(bytes, length);
      output.renew();
    }
  }

  #hand(bytes: Uint8Array): void {
    this.#connection.write(bytes);
    this.#untaken = this.#connection.bufferedBytes;
    this.#slow = this.#untaken > 0;
  }

  #hold(bytes: Uint8Array): void {
    let rest = bytes;
    if (this.#held !== undefined && rest.length > this.#held.room) {
      // To the brim, but for a transport that puts frames of its own between ours.
      const room = this.#hasOwnMessages ? 0 : this.#held.room;
      this.#held.append(rest.subarray(0, room));
      rest = rest.subarray(room);
      this.#release();
    }
    this.#held ??= new HeldBytes(
      allocate(Math.max(rest.length, Math.min(FLUSH_BYTES, Math.max(HELD, this.#untaken)))),
      0,
    );
    this.#held.append(rest);
    // It may have taken all of that at once, and will not tell of it.
    if (this.#untaken === 0) this.#release();
  }

  /** Hand on what was held, as one. */
  #release(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined && held.length > 0) this.#hand(held.bytes);
  }

  /** The connection has passed on more. */
  onTaken(): void {
    // What a destroyed connection drops is not taken. Mostly all was taken as it was written.
    if (this.#gone || (this.#untaken === 0 && this.#waiting === 0)) return;
    this.#untaken = this.#connection.bufferedBytes;
    if (this.#untaken === 0) this.#release();
    this.#settleWaiters();
  }

  #settleWaiters(): void {
    if (this.#waiting === 0) return;
    const taken = this.takenPosition;
    this.#settleUpTo(this.#drains, taken);
    this.#settleUpTo(this.#sends, taken);
  }

  #settleUpTo(waiters: Queue<Waiter> | undefined, taken: number, error?: GettyError): void {
    if (waiters === undefined) return;
    const failed: Waiter[] = [];
    for (
      let next = waiters.peek();
      next !== undefined && next.position <= taken;
      next = waiters.peek()
    ) {
      waiters.shift();
      this.#waiting--;
      if (error === undefined) next.settle();
      else failed.push(next);
    }
    // To make so many errors takes long.
    if (error !== undefined) inTurns(failed, (waiter) => waiter.settle(error));
  }

  /** Take nothing more; what is queued still leaves. */
  close(): void {
    if (this.#encodingFrom === NOT_ENCODING) this.flush();
    else this.#flushBefore(this.#encodingFrom);
    this.#release();
    this.#closed = true;
  }

  /**
   * The codec closes the session as it writes a message, which began at `end`: hand on the messages
   * before it, as a copy.
   */
  #flushBefore(end: number): void {
    const output = this.#output;
    this.#output = undefined;
    this.#release();
    if (output !== undefined && end > 0 && !this.#gone)
      this.#hand(copy(output.bytes.subarray(0, end)));
  }

  /** Nothing leaves any more; `onGone` tells those who wait. */
  stop(): void {
    this.#closed = true;
    this.#gone = true;
  }

  /** The connection is gone, for the reason in `cause`. */
  onGone(cause: Error | undefined): void {
    this.stop();
    // A codec that destroys its session as it writes still writes into the buffer.
    if (this.#output !== undefined && this.#encodingFrom === NOT_ENCODING)
      ByteWriter.giveBack(this.#output);
    this.#output = undefined;
    this.#held = undefined;
    if (this.#waiting === 0) return;
    const lost = this.#closedError(cause);
    this.#settleUpTo(this.#drains, Number.POSITIVE_INFINITY, lost);
    this.#settleUpTo(this.#sends, Number.POSITIVE_INFINITY, lost);
  }

  #closedError(cause?: unknown): GettyError {
    return gettyError(
      'SESSION_CLOSED',
      `the session with ${this.#connection.remoteAddress} is closed`,
      cause,
    );
  }
}
