/**
 * Reads for a session: decodes the bytes of the connection, and delivers messages no faster than
 * the listener handles them.
 */

import type { Bytes } from '../../core/bytes.js';
import { promiseOf, refusePromise } from '../../core/callbacks.js';
import { asGettyError, type GettyError, gettyError } from '../../core/errors.js';
import { faultError, guarded } from '../../core/guard.js';
import { Queue } from '../../core/queue.js';
import { isTurnOver, MAX_WAITING_BYTES, onNextTurn, spend, unitsOf } from '../../core/turn.js';
import { ByteReader } from '../buffers/byte-reader.js';
import type { Connection } from '../types.js';
import { now } from './flush-scheduler.js';
import { MessageDelivery, type ReadingSession } from './message-delivery.js';
import { type ResolvedSetup, tooLarge } from './session-options.js';

/** Small messages are counted in portions: counting each one would take 1 % of its time. */
const UNITS_PER_SPEND = 64;

/** A message of a message transport; as in ConnectionEvents.onMessage. */
interface WholeMessage {
  readonly bytes: Bytes;
  readonly start: number;
  readonly end: number;
  readonly text: boolean | undefined;
}

export class SessionReader<In, Out> extends MessageDelivery<In, Out> {
  bytesRead = 0;
  /** Undefined until the first byte: many sessions receive nothing. */
  #input: ByteReader | undefined;
  /** Messages of a message transport that wait to be read; undefined while none waits. */
  #waiting: Queue<WholeMessage> | undefined;
  /** Whether onOpen has not settled. Until then messages wait. */
  #isOpening: boolean;
  #isPaused = false;
  /** Whether the rest is read in the next turn: the budget of this turn is used up. */
  #awaitsTurn = false;
  #isReading = false;
  readonly #isLossy: boolean;
  #hasEnded = false;
  /** Whether peerEnded() of the session has been called. */
  #endDelivered = false;
  /** When the incomplete message began: a time of now(). 0: no message is incomplete. */
  #incompleteSince = 0;

  /** `opened`: whether onOpen has settled. */
  constructor(
    session: ReadingSession<In, Out>,
    connection: Connection,
    setup: ResolvedSetup<In, Out>,
    opened: boolean,
  ) {
    super(session, connection, setup);
    this.#isOpening = !opened;
    this.#isLossy = connection.capabilities?.isLossy === true;
  }

  /** Called when onOpen has returned a promise. */
  pauseUntilOpen(): void {
    this.connection.pause();
  }

  /** onOpen has settled. */
  open(): void {
    this.#isOpening = false;
    this.continueReading();
  }

  pause(): void {
    this.#isPaused = true;
    this.connection.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.continueReading();
  }

  protected override continueReading(): void {
    if (this.#isOpening || !this.#mayRead()) return;
    // The bytes in #input are read before those that the connection holds.
    this.#read();
    if (this.#mayRead()) this.connection.resume();
  }

  protected override onHandlerSettled(): void {
    if (this.#hasEnded) this.#afterEnd();
  }

  /** Adds bytes of a stream; readStream() delivers their messages. */
  feed(bytes: Bytes): void {
    this.bytesRead += bytes.length;
    this.#input ??= new ByteReader();
    this.#input.feed(bytes);
    if (this.#awaitsTurn && this.#input.length > MAX_WAITING_BYTES) this.connection.pause();
  }

  /** One message of a message transport. */
  onMessage(bytes: Bytes, text: boolean | undefined, start: number, end: number): void {
    this.bytesRead += end - start;
    // In most cases no message waits, and this one can be read at once.
    if (
      this.#waiting === undefined &&
      this.setup.taskPool === undefined &&
      this.#mayBegin() &&
      this.#hasTurn(end - start)
    )
      return this.#readOne(bytes, text, start, end);
    this.#waiting ??= new Queue();
    this.#waiting.push({ bytes, start, end, text });
    this.#read();
  }

  onEnd(): void {
    this.#hasEnded = true;
    this.#read();
  }

  /**
   * Delivers nothing more. Releases the buffers, because a handler may keep the session for long.
   */
  stop(): void {
    this.isStopped = true;
    this.#input = undefined;
    this.#waiting = undefined;
  }

  /** Whether the reader takes no bytes. The silence of the peer then does not count. */
  get isPaused(): boolean {
    return this.#isPaused || this.isFull || this.#isOpening;
  }

  /**
   * How long the peer has been sending one message, in ms; 0 between messages and while the reader
   * is paused.
   */
  incompleteMessageAge(): number {
    if (this.#incompleteSince === 0) return 0;
    if (this.isPaused) this.#incompleteSince = now();
    return now() - this.#incompleteSince;
  }

  #mayRead(): boolean {
    return !this.#isPaused && !this.isFull && !this.#awaitsTurn && !this.isStopped;
  }

  #mayBegin(): boolean {
    // A listener may call resume() in onMessage. The loop that called onMessage continues then.
    return !this.#isReading && !this.#isOpening && this.#mayRead();
  }

  /** Reads a message at once, because no other message waits. */
  #readOne(bytes: Bytes, text: boolean | undefined, start: number, end: number): void {
    this.#isReading = true;
    try {
      this.#readMessage(bytes, text, start, end);
    } finally {
      this.#isReading = false;
    }
    this.#input?.release();
    // Messages or the end may have arrived meanwhile.
    if (this.#waiting !== undefined || this.#hasEnded) this.#read();
  }

  #read(): void {
    if (this.#waiting === undefined) return this.readStream();
    if (!this.#mayBegin() || !this.#hasRoom()) return;
    this.#isReading = true;
    try {
      this.#readWaiting(this.#waiting);
    } finally {
      this.#isReading = false;
    }
    this.#afterRead();
  }

  /** Whether the task pool has room. If not, waits for it. Other sessions may have filled it. */
  #hasRoom(): boolean {
    const { taskPool } = this.setup;
    if (taskPool === undefined || !this.#hasUnread() || !this.hasFullPool(taskPool)) return true;
    this.waitForRoom(taskPool);
    return false;
  }

  /** Delivers the messages of a stream that have arrived, until the session must wait. */
  readStream(): void {
    if (!this.#mayBegin() || !this.#hasRoom()) return;
    const input = this.#input;
    if (input === undefined) return this.#afterRead();
    const { listener, taskPool } = this.setup;
    const { session } = this;
    // All bytes may be one message, so they are counted before it is read.
    spend(unitsOf(input.length));
    let units = 0;
    this.#isReading = true;
    try {
      while (input.length > 0 && this.#mayRead()) {
        // The handling of a message, such as a large answer, may have used up the turn.
        if (units >= UNITS_PER_SPEND || isTurnOver()) {
          if (spend(units)) {
            this.#waitForTurn(input.length > MAX_WAITING_BYTES);
            break;
          }
          units = 0;
        }
        const before = input.length;
        const message = this.#next(input);
        const consumed = before - input.length;
        units += unitsOf(consumed);
        if (message === undefined) {
          // The codec dropped bytes that are no message.
          if (consumed > 0) continue;
          break;
        }
        if (taskPool !== undefined) {
          this.deliver(message);
          continue;
        }
        // As deliver(), without a call for each message.
        this.messagesRead++;
        try {
          const promise = promiseOf(listener.onMessage(session, message));
          if (promise !== undefined) this.trackHandler(promise);
        } catch (error) {
          session.handlerFailed(error);
        }
      }
    } finally {
      this.#isReading = false;
    }
    this.#afterRead();
  }

  #afterRead(): void {
    this.#input?.release();
    if (this.#hasEnded) this.#afterEnd();
  }

  /** The next message of the stream; undefined when it is incomplete or the session has failed. */
  #next(input: ByteReader): In | undefined {
    const { maxMessageBytes } = this.setup;
    const { session } = this;
    const before = input.length;
    let message: In | undefined;
    try {
      message = this.#decode(input);
    } catch (error) {
      session.fail(this.#unreadable(error, 'sent bytes that the codec cannot read'));
      return undefined;
    }
    const consumed = before - input.length;
    if (message === undefined && consumed === 0) {
      if (before > maxMessageBytes) session.fail(this.#tooLarge(before));
      else if (this.#incompleteSince === 0) this.#incompleteSince = now();
      return undefined;
    }
    this.#incompleteSince = 0;
    if (message === undefined) return undefined;
    if (consumed > 0 && consumed <= maxMessageBytes) return message;
    session.fail(
      consumed === 0
        ? gettyError('BAD_FRAME', 'the codec took no bytes for a message')
        : this.#tooLarge(consumed),
    );
    return undefined;
  }

  #readWaiting(messages: Queue<WholeMessage>): void {
    for (
      let next = messages.peek();
      next !== undefined && this.#mayRead() && this.#hasTurn(next.end - next.start);
      next = messages.peek()
    ) {
      messages.shift();
      this.#readMessage(next.bytes, next.text, next.start, next.end);
    }
    if (messages.length === 0) this.#waiting = undefined;
  }

  /**
   * Whether this turn has budget left for a message. If not, the message waits for the next turn.
   */
  #hasTurn(size: number): boolean {
    if (!spend(unitsOf(size))) return true;
    this.#waitForTurn(true);
    return false;
  }

  #waitForTurn(pause: boolean): void {
    this.#awaitsTurn = true;
    if (pause) this.connection.pause();
    const goOn = (): void => {
      this.#awaitsTurn = false;
      this.continueReading();
    };
    onNextTurn(
      guarded(goOn, (error) => this.session.destroy(faultError(this.session.remoteAddress, error))),
    );
  }

  /** Reads bytes that must be exactly one message of the codec. */
  #readMessage(bytes: Bytes, text: boolean | undefined, start: number, end: number): void {
    this.#input ??= new ByteReader();
    const input = this.#input;
    const { maxMessageBytes } = this.setup;
    const size = end - start;
    input.feedMessage(bytes, start, end);
    input.text = text;
    let message: In | undefined;
    try {
      if (size > maxMessageBytes) throw this.#tooLarge(size);
      message = this.#decode(input);
      if (message === undefined && (input.length > 0 || size === 0))
        throw new Error('it is incomplete');
      // The codec may drop the rest, such as an empty line.
      const left = input.length;
      if (left > 0 && (this.#decode(input) !== undefined || input.length > 0))
        throw new Error(`${left} of its bytes are left over`);
    } catch (error) {
      input.skip(input.length);
      this.#onBadMessage(
        this.#unreadable(error, `sent a message of ${size} bytes that the codec cannot read`),
      );
      return;
    }
    // Undefined: the codec took bytes that are no message, such as an empty line. On UDP a whole
    // datagram is dropped so, without an event.
    if (message !== undefined) this.deliver(message);
  }

  /** Throws the errors of the codec, and BAD_FRAME when its read() is async. */
  #decode(input: ByteReader): In | undefined {
    const message = this.setup.codec.read(input, this.session);
    // An async function returns a promise the first time too.
    if (this.messagesRead === 0) refusePromise('BAD_FRAME', 'read() of the codec', message);
    return message;
  }

  /**
   * A message could not be read. On UDP this is reported to onError, and the session continues,
   * because the sender may be forged. Any other session ends.
   */
  #onBadMessage(error: GettyError): void {
    if (this.#isLossy) this.session.report(error);
    else this.session.fail(error);
  }

  #hasUnread(): boolean {
    return (this.#input?.length ?? 0) > 0 || this.#waiting !== undefined;
  }

  /** The peer has ended its side. Handlers that still run may answer before this side ends. */
  #afterEnd(): void {
    if (this.isStopped || !this.#mayRead()) return;
    const rest = this.#input?.length ?? 0;
    if (rest > 0) {
      const what = `${this.session.remoteAddress} ended the stream inside a message, after ${rest} bytes of it`;
      this.session.fail(gettyError('BAD_FRAME', what));
      return;
    }
    if (!this.#endDelivered) {
      this.#endDelivered = true;
      this.session.peerEnded();
    }
    if (this.handling === 0) this.session.finished();
  }

  #unreadable(error: unknown, what: string): GettyError {
    return asGettyError(error, 'BAD_FRAME', `${this.session.remoteAddress} ${what}`);
  }

  #tooLarge(size: number): GettyError {
    return tooLarge(
      size,
      this.setup.maxMessageBytes,
      `or more came from ${this.session.remoteAddress}`,
    );
  }
}
