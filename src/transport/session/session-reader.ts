/**
 * Reads for a session: decides when the bytes of the connection are decoded, and delivers messages
 * no faster than the listener handles them.
 */

import type { Bytes } from '../../core/bytes.js';
import { notify, promiseOf } from '../../core/callbacks.js';
import { faultError, guarded } from '../../core/guard.js';
import { Queue } from '../../core/queue.js';
import { isTurnOver, MAX_WAITING_BYTES, onNextTurn, spend, unitsOf } from '../../core/turn.js';
import type { Connection } from '../types.js';
import { MessageDecoder, type WholeMessage } from './message-decoder.js';
import {
  MessageDelivery,
  OPENING,
  PAUSED_BY_TURN,
  type ReadingSession,
  STOPPED,
} from './message-delivery.js';
import { handlerError, incompleteMessageError } from './session-errors.js';
import type { ResolvedSetup } from './session-options.js';
import { StreamDecoder } from './stream-decoder.js';

/** Small messages are counted in groups: counting each message would take 1 % of its time. */
const UNITS_PER_SPEND = 64;

export class SessionReader<In, Out> extends MessageDelivery<In, Out> {
  bytesRead = 0;
  /** Undefined until the first bytes of a stream: many sessions receive nothing. */
  #stream: StreamDecoder<In, Out> | undefined;
  /** Undefined until the first message of a message transport. */
  #messages: MessageDecoder<In, Out> | undefined;
  /** Messages of a message transport that wait to be read; undefined while none waits. */
  #waiting: Queue<WholeMessage> | undefined;
  #isReading = false;
  #hasEnded = false;
  /** Whether onEnd of the listener has been called. */
  #isEndDelivered = false;
  /** Called when all messages that precede the end of the peer's side have been delivered. */
  onRead: (() => void) | undefined;

  /** `opened`: whether onOpen has settled. */
  constructor(
    session: ReadingSession<In, Out>,
    connection: Connection,
    setup: ResolvedSetup<In, Out>,
    opened: boolean,
  ) {
    super(session, connection, setup);
    if (!opened) this.pauseReasons = OPENING;
  }

  /** Called when onOpen has returned a promise. */
  pauseUntilOpen(): void {
    this.connection.pause();
  }

  /** onOpen has settled. */
  open(): void {
    this.endPause(OPENING);
  }

  /**
   * Reads all further messages with the codec of `setup`, and delivers them to its listener. If the
   * reader has bytes, and no message is being read now, they are read in the next turn.
   */
  use(setup: ResolvedSetup<In, Out>): void {
    this.setup = setup;
    this.#stream?.use(setup);
    this.#messages?.use(setup);
    const awaitsTurn = (this.pauseReasons & PAUSED_BY_TURN) !== 0;
    if (this.#hasUnread() && !this.#isReading && !awaitsTurn) this.#waitForTurn(false);
  }

  /** Whether the peer has ended its side, and its last messages wait for a turn. */
  get awaitsTurn(): boolean {
    return this.#hasEnded && this.pauseReasons === PAUSED_BY_TURN;
  }

  /** Bytes of a stream that have arrived and are not decoded. */
  get unreadBytes(): number {
    return this.#stream?.input.length ?? 0;
  }

  protected override continueReading(): void {
    if (!this.#mayRead()) return;
    // Bytes that the reader has are older than the bytes that the connection holds.
    this.#read();
    if (this.#mayRead()) this.connection.resume();
  }

  protected override onHandlerSettled(): void {
    if (this.#hasEnded) this.#afterEnd();
  }

  protected createDecoder(): StreamDecoder<In, Out> {
    return new StreamDecoder(this.session, this.setup);
  }

  /** The session did not read for `ms` milliseconds: they do not count for messageTimeout. */
  protected postponeTimeout(ms: number): void {
    this.#stream?.postponeTimeout(ms);
  }

  /** Adds bytes of a stream; readStream() delivers their messages. */
  feed(bytes: Bytes): void {
    this.bytesRead += bytes.length;
    this.#stream ??= this.createDecoder();
    const { input } = this.#stream;
    input.feed(bytes);
    if (this.pauseReasons === PAUSED_BY_TURN && input.length > MAX_WAITING_BYTES)
      this.connection.pause();
  }

  /** One message of a message transport. */
  onMessage(bytes: Bytes, text: boolean | undefined, start: number, end: number): void {
    this.bytesRead += end - start;
    // In most cases no other message waits, and this message can be read at once.
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

  /** Delivers nothing more, and releases the buffers: a handler may keep the session for long. */
  stop(): void {
    this.pauseReasons |= STOPPED;
    this.#stream = undefined;
    this.#messages = undefined;
    this.#waiting = undefined;
  }

  /** See StreamDecoder. */
  incompleteMessageAge(): number {
    return this.#stream?.incompleteMessageAge(this.isPaused) ?? 0;
  }

  #mayRead(): boolean {
    return this.pauseReasons === 0;
  }

  #mayBegin(): boolean {
    // A listener may call resume() in onMessage. The loop that called onMessage continues then.
    return !this.#isReading && this.#mayRead();
  }

  /** Reads a message at once, because no other message waits. */
  #readOne(bytes: Bytes, text: boolean | undefined, start: number, end: number): void {
    this.#isReading = true;
    try {
      this.#readMessage(bytes, text, start, end);
    } finally {
      this.#isReading = false;
    }
    this.#messages?.input.release();
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
    this.#messages?.input.release();
    if (this.#hasEnded) this.#afterEnd();
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
    const stream = this.#stream;
    if (stream === undefined) return this.#afterRead();
    const { input } = stream;
    const { taskPool } = this.setup;
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
        const message = stream.next();
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
          const promise = promiseOf(this.setup.listener.onMessage(session, message));
          if (promise !== undefined) this.trackHandler(promise);
        } catch (error) {
          session.report(handlerError(error));
        }
      }
    } finally {
      this.#isReading = false;
    }
    this.#afterRead();
  }

  #afterRead(): void {
    this.#stream?.input.release();
    if (this.#hasEnded) this.#afterEnd();
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

  /** Whether this turn has budget for a message. If not, reading continues in the next turn. */
  #hasTurn(size: number): boolean {
    if (!spend(unitsOf(size))) return true;
    this.#waitForTurn(true);
    return false;
  }

  #waitForTurn(pause: boolean): void {
    this.pauseReasons |= PAUSED_BY_TURN;
    if (pause) this.connection.pause();
    onNextTurn(
      guarded(
        () => this.endPause(PAUSED_BY_TURN),
        (error) => this.session.destroy(faultError(this.session.remoteAddress, error)),
      ),
    );
  }

  #readMessage(bytes: Bytes, text: boolean | undefined, start: number, end: number): void {
    this.#messages ??= new MessageDecoder(this.session, this.setup);
    const message = this.#messages.decode(bytes, text, start, end);
    if (message !== undefined) this.deliver(message);
  }

  #hasUnread(): boolean {
    return (this.#stream?.input.length ?? 0) > 0 || this.#waiting !== undefined;
  }

  /** The peer has ended its side. Handlers that still run may answer before this side ends. */
  #afterEnd(): void {
    if (this.isStopped || !this.#mayRead()) return;
    const { session } = this;
    const rest = this.#stream?.input.length ?? 0;
    if (rest > 0) return session.fail(incompleteMessageError(session.remoteAddress, rest));
    if (!this.#isEndDelivered) {
      this.#isEndDelivered = true;
      notify(
        () => this.setup.listener.onEnd?.(session),
        (error) => session.report(handlerError(error)),
      );
    }
    if (this.handling === 0) this.#endOwnSide();
    this.onRead?.();
  }

  /** The peer has ended its side, and all promises of onMessage have settled. */
  #endOwnSide(): void {
    const staysOpen = this.setup.allowHalfOpen && this.connection.capabilities?.canHalfOpen;
    if (!staysOpen && !this.session.closed) void this.session.close();
  }
}
