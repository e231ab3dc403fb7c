/**
 * What a session receives: bytes become messages and go to the listener, no faster than the
 * listener wants them.
 */

import { type AsyncContext, READ_CONTEXT, type ReadsInContext } from '../../core/async-context.js';
import type { Bytes } from '../../core/bytes.js';
import { promiseOf, refusePromise, settle } from '../../core/callbacks.js';
import { asGettyError, type GettyError, gettyError } from '../../core/errors.js';
import { faultError, guarded } from '../../core/guard.js';
import { Queue } from '../../core/queue.js';
import { isTurnOver, MAX_WAITING_BYTES, onNextTurn, spend, unitsOf } from '../../core/turn.js';
import { ByteReader } from '../buffers/byte-reader.js';
import type { Connection, Session } from '../types.js';
import { now } from './flush-scheduler.js';
import { type ResolvedSetup, tooLarge } from './session-options.js';
import type { TaskPool } from './task-pool.js';

/**
 * The small messages of a chunk are counted in portions: to count each by itself costs 1 % of its
 * time.
 */
const UNITS_PER_SPEND = 64;
/** What the inbox tells its session. */
export interface InboxOwner<In, Out> extends Session<In, Out> {
  report(error: GettyError): void;
  /** The peer's fault: hand over what was written for it, and then destroy the session. */
  fail(error: GettyError): void;
  handlerFailed(cause: unknown): void;
  /** The peer has ended its side, and its last message has been delivered. Called once. */
  peerEnded(): void;
  /** The peer has ended its side, and everything that it sent has been handled. */
  finished(): void;
}

/** A message of a message transport; as in ConnectionEvents.onMessage. */
interface WholeMessage {
  readonly bytes: Bytes;
  readonly start: number;
  readonly end: number;
  readonly text: boolean | undefined;
}

export class Inbox<In, Out> {
  bytesRead = 0;
  messagesRead = 0;
  readonly #session: InboxOwner<In, Out>;
  readonly #connection: Connection;
  readonly #setup: ResolvedSetup<In, Out>;
  /** Made when bytes come: many sessions only wait. */
  #input: ByteReader | undefined;
  /** Whole messages of a message transport that wait to be read; undefined: none does. */
  #whole: Queue<WholeMessage> | undefined;
  /** onOpen has not settled: messages wait, whatever else happens. */
  #opening: boolean;
  #paused = false;
  /** As many messages are being handled as may be, by this session or by its pool. */
  #full = false;
  /** Waits until its pool has room. */
  #queueing = false;
  /** The share of this turn of the event loop is used up: the rest is read in the next. */
  #waitsForTurn = false;
  #reading = false;
  readonly #lossy: boolean;
  readonly #context: AsyncContext | undefined;
  #ended = false;
  /** The session knows of the end. */
  #endDelivered = false;
  #stopped = false;
  /** onMessage promises that have not settled. */
  #handling = 0;
  /** When the message at the front began to come, by now(); 0: there is none. */
  #partialSince = 0;

  /** `opened`: onOpen has settled already. */
  constructor(
    session: InboxOwner<In, Out>,
    connection: Connection,
    setup: ResolvedSetup<In, Out>,
    opened: boolean,
  ) {
    this.#opening = !opened;
    this.#session = session;
    this.#connection = connection;
    this.#lossy = connection.lossy === true;
    this.#setup = setup;
    this.#context = (setup.listener as ReadsInContext)[READ_CONTEXT];
  }

  /** onOpen takes its time. */
  hold(): void {
    this.#connection.pause();
  }

  /** onOpen has settled: deliver. */
  open(): void {
    this.#opening = false;
    this.#go();
  }

  pause(): void {
    this.#paused = true;
    this.#connection.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#go();
  }

  #go(): void {
    if (this.#opening || !this.#mayRead()) return;
    // What is here goes before what the connection holds.
    this.#read();
    if (this.#mayRead()) this.#connection.resume();
  }

  onData(bytes: Bytes): void {
    this.bytesRead += bytes.length;
    this.#input ??= new ByteReader();
    this.#input.feed(bytes);
    if (this.#waitsForTurn && this.#input.length > MAX_WAITING_BYTES) this.#connection.pause();
    this.#read();
  }

  onMessage(bytes: Bytes, text: boolean | undefined, start: number, end: number): void {
    this.bytesRead += end - start;
    // In most cases no message waits, and this one does not have to.
    if (
      this.#whole === undefined &&
      this.#setup.taskPool === undefined &&
      this.#mayBegin() &&
      this.#hasTurn(end - start)
    )
      return this.#readOne(bytes, text, start, end);
    this.#whole ??= new Queue();
    this.#whole.push({ bytes, start, end, text });
    this.#read();
  }

  onEnd(): void {
    this.#ended = true;
    this.#read();
  }

  /**
   * Deliver nothing more. A handler that goes on may keep the session, so it must not keep what was
   * not delivered.
   */
  stop(): void {
    this.#stopped = true;
    this.#input = undefined;
    this.#whole = undefined;
  }

  /** True while we do not read: what the peer says then is not heard. */
  get deaf(): boolean {
    return this.#paused || this.#full || this.#opening;
  }

  /**
   * How long the peer has been sending one message, in ms; 0 when it is between messages or we do
   * not read.
   */
  partialFor(): number {
    if (this.deaf) this.#partialSince = this.#partialSince > 0 ? now() : 0;
    return this.#partialSince > 0 ? now() - this.#partialSince : 0;
  }

  #mayRead(): boolean {
    return !this.#paused && !this.#full && !this.#waitsForTurn && !this.#stopped;
  }

  #mayBegin(): boolean {
    // A listener may resume() from within onMessage; who reads goes on then by himself.
    return !this.#reading && !this.#opening && this.#mayRead();
  }

  /** A message before which none waits. */
  #readOne(bytes: Bytes, text: boolean | undefined, start: number, end: number): void {
    this.#reading = true;
    try {
      this.#readMessage(bytes, text, start, end);
    } finally {
      this.#reading = false;
    }
    this.#input?.release();
    // More may have come meanwhile, or the end.
    if (this.#whole !== undefined || this.#ended) this.#read();
  }

  #read(): void {
    if (!this.#mayBegin()) return;
    // Other sessions may have filled the pool meanwhile.
    const { taskPool } = this.#setup;
    if (taskPool !== undefined && this.#hasUnread() && this.#isFull(taskPool))
      return this.#waitForRoom(taskPool);
    this.#reading = true;
    try {
      if (this.#context === undefined) this.#readAll();
      else this.#context.runAll(this.#readAll, this);
    } finally {
      this.#reading = false;
    }
    this.#input?.release();
    if (this.#ended) this.#afterEnd();
  }

  #readAll(): void {
    if (this.#whole !== undefined) this.#readWaiting(this.#whole);
    else if (this.#input !== undefined) this.#readStream(this.#input);
  }

  #readStream(input: ByteReader): void {
    const { codec, maxMessageBytes } = this.#setup;
    const session = this.#session;
    // All that is here may be one message: it is counted before the message is read.
    spend(unitsOf(input.length));
    let units = 0;
    while (input.length > 0 && this.#mayRead()) {
      // What a message set off, such as a large answer, may have used up the turn.
      if (units >= UNITS_PER_SPEND || isTurnOver()) {
        if (spend(units)) return this.#waitForTurn(input.length > MAX_WAITING_BYTES);
        units = 0;
      }
      const before = input.length;
      let message: In | undefined;
      try {
        message = codec.read(input, session);
        if (this.messagesRead === 0) refusePromise('BAD_FRAME', 'read() of the codec', message);
      } catch (error) {
        session.fail(this.#unreadable(error, 'sent what the codec cannot read'));
        return;
      }
      const consumed = before - input.length;
      units += unitsOf(consumed);
      if (message === undefined) {
        if (consumed > 0) {
          // The codec dropped something that is no message.
          this.#partialSince = 0;
          continue;
        }
        if (input.length > maxMessageBytes) session.fail(this.#tooLarge(input.length));
        else if (this.#partialSince === 0) this.#partialSince = now();
        return;
      }
      this.#partialSince = 0;
      if (consumed === 0)
        session.fail(
          gettyError('BAD_FRAME', 'the codec answered a message and took no bytes for it'),
        );
      else if (consumed > maxMessageBytes) session.fail(this.#tooLarge(consumed));
      else this.#deliver(message);
    }
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
    if (messages.length === 0) this.#whole = undefined;
  }

  /** False: the share of this turn is used up, and the message waits for the next. */
  #hasTurn(size: number): boolean {
    if (!spend(unitsOf(size))) return true;
    this.#waitForTurn(true);
    return false;
  }

  #waitForTurn(pause: boolean): void {
    this.#waitsForTurn = true;
    if (pause) this.#connection.pause();
    const goOn = (): void => {
      this.#waitsForTurn = false;
      this.#go();
    };
    onNextTurn(
      guarded(goOn, (error) =>
        this.#session.destroy(faultError(this.#session.remoteAddress, error)),
      ),
    );
  }

  /** It is one message of the codec, neither more nor less. */
  #readMessage(bytes: Bytes, text: boolean | undefined, start: number, end: number): void {
    this.#input ??= new ByteReader();
    const input = this.#input;
    const { maxMessageBytes } = this.#setup;
    const size = end - start;
    input.feedMessage(bytes, start, end);
    input.text = text;
    let message: In | undefined;
    try {
      if (size > maxMessageBytes) throw this.#tooLarge(size);
      message = this.#decode(input);
      if (message === undefined && (input.length > 0 || size === 0))
        throw new Error('it is not whole');
      // What is left may be nothing to the codec, such as an empty line.
      const left = input.length;
      if (left > 0 && (this.#decode(input) !== undefined || input.length > 0))
        throw new Error(`${left} of its bytes are left over`);
    } catch (error) {
      input.skip(input.length);
      this.#badMessage(
        this.#unreadable(error, `sent a message of ${size} bytes that the codec cannot read`),
      );
      return;
    }
    // The codec passed over what is no message.
    if (message !== undefined) this.#deliver(message);
  }

  /** Throws what the codec throws, and BAD_FRAME when its read() is async. */
  #decode(input: ByteReader): In | undefined {
    const message = this.#setup.codec.read(input, this.#session);
    // An async function answers a promise the first time too.
    if (this.messagesRead === 0) refusePromise('BAD_FRAME', 'read() of the codec', message);
    return message;
  }

  /**
   * A stream is out of step after it; a datagram is lost, and its sender may not even be the peer.
   */
  #badMessage(error: GettyError): void {
    if (this.#lossy) this.#session.report(error);
    else this.#session.fail(error);
  }

  #deliver(message: In): void {
    this.messagesRead++;
    const { listener, taskPool } = this.#setup;
    const session = this.#session;
    try {
      const outcome =
        taskPool === undefined
          ? listener.onMessage(session, message)
          : // A session may end while its message waits in the pool: nothing comes after its onClose.
            taskPool.run(() => (this.#stopped ? undefined : listener.onMessage(session, message)));
      const promise = promiseOf(outcome);
      if (promise !== undefined) this.#await(promise);
    } catch (error) {
      session.handlerFailed(error);
    }
    if (taskPool !== undefined && this.#isFull(taskPool)) this.#waitForRoom(taskPool);
  }

  #await(outcome: Promise<unknown>): void {
    this.#handling++;
    if (this.#handling >= this.#setup.maxHandling) this.#fill();
    const settled = (): void => {
      this.#handling--;
      if (this.#full && !this.#queueing) this.#unfill();
      if (this.#ended) this.#afterEnd();
    };
    outcome.then(settled, (error) => {
      this.#session.handlerFailed(error);
      settled();
    });
  }

  /** Once at a time, so that nobody has two places in the queue. */
  #waitForRoom(pool: TaskPool): void {
    this.#fill();
    if (this.#queueing) return;
    this.#queueing = true;
    settle(() => pool.room()).then(
      () => {
        this.#queueing = false;
        this.#unfill();
      },
      (error) =>
        this.#session.destroy(
          asGettyError(error, 'HANDLER_FAILED', 'room() of the task pool failed'),
        ),
    );
  }

  /** A pool of the user's own may fail here too. */
  #isFull(pool: TaskPool): boolean {
    try {
      return pool.full;
    } catch (error) {
      this.#session.destroy(asGettyError(error, 'HANDLER_FAILED', 'full of the task pool failed'));
      return false;
    }
  }

  #hasUnread(): boolean {
    return (this.#input?.length ?? 0) > 0 || this.#whole !== undefined;
  }

  #fill(): void {
    if (this.#full) return;
    this.#full = true;
    this.#connection.pause();
  }

  #unfill(): void {
    if (this.#handling >= this.#setup.maxHandling) return;
    this.#full = false;
    this.#go();
  }

  /** What is being handled when the peer ends may still be answered. */
  #afterEnd(): void {
    if (this.#stopped || !this.#mayRead()) return;
    const rest = this.#input?.length ?? 0;
    if (rest > 0) {
      const what = `${this.#session.remoteAddress} ended the stream inside a message, after ${rest} bytes of it`;
      this.#session.fail(gettyError('BAD_FRAME', what));
      return;
    }
    if (!this.#endDelivered) {
      this.#endDelivered = true;
      this.#session.peerEnded();
    }
    if (this.#handling === 0) this.#session.finished();
  }

  #unreadable(error: unknown, what: string): GettyError {
    return asGettyError(error, 'BAD_FRAME', `${this.#session.remoteAddress} ${what}`);
  }

  #tooLarge(size: number): GettyError {
    return tooLarge(
      size,
      this.#setup.maxMessageBytes,
      `or more came from ${this.#session.remoteAddress}`,
    );
  }
}
