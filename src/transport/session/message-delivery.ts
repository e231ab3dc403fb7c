/** Calls onMessage for a session, and limits how many messages are handled at the same time. */

import { callAsync, promiseOf, refusePromise } from '../../core/callbacks.js';
import { asGettyError, type GettyError } from '../../core/errors.js';
import { countHandler, onNextTurn } from '../../core/turn.js';
import type { Connection, Session } from '../types.js';
import { handlerError } from './session-errors.js';
import type { ResolvedSetup } from './session-options.js';
import type { TaskPool } from './task-pool.js';

/** The methods of a session that its reader calls. */
export interface ReadingSession<In, Out> extends Session<In, Out> {
  /** Reports an error to onError. */
  report(error: GettyError): void;
  /** The peer violated the protocol: sends what was written, and destroys the session. */
  fail(error: GettyError): void;
}

/** Why a session decodes no messages: the bits of `MessageDelivery.pauseReasons`. */
export const PAUSED_BY_USER = 1;
/** As many messages are being handled as the session, or its task pool, allows. */
export const PAUSED_BY_HANDLERS = 2;
/** The budget of this turn is used up. The rest is read in the next turn. */
export const PAUSED_BY_TURN = 4;
/** The peer has exceeded a rate. */
export const PAUSED_BY_RATE = 8;
/** onOpen has not settled. */
export const OPENING = 16;
/** The session has ended. */
export const STOPPED = 32;

/** The base of SessionReader. */
export abstract class MessageDelivery<In, Out> {
  messagesRead = 0;
  protected readonly session: ReadingSession<In, Out>;
  protected readonly connection: Connection;
  protected setup: ResolvedSetup<In, Out>;
  /** The reasons why no message is decoded now. The loops compare this number with 0. */
  protected pauseReasons = 0;
  /** Whether the session waits in the queue of its task pool. */
  #awaitsRoom = false;
  /** `messagesRead` when the session last waited for its task pool. */
  #readAtWait = -1;
  /** The number of promises of onMessage that have not settled. */
  protected handling = 0;

  constructor(
    session: ReadingSession<In, Out>,
    connection: Connection,
    setup: ResolvedSetup<In, Out>,
  ) {
    this.session = session;
    this.connection = connection;
    this.setup = setup;
  }

  pause(): void {
    this.pauseReasons |= PAUSED_BY_USER;
    this.connection.pause();
  }

  resume(): void {
    this.endPause(PAUSED_BY_USER);
  }

  /** Removes a reason, and continues to read if there is no other one. */
  protected endPause(reason: number): void {
    this.pauseReasons &= ~reason;
    this.continueReading();
  }

  /** Whether the reader takes no bytes. The silence of the peer then does not count. */
  get isPaused(): boolean {
    return (this.pauseReasons & ~(PAUSED_BY_TURN | STOPPED)) !== 0;
  }

  protected get isStopped(): boolean {
    return (this.pauseReasons & STOPPED) !== 0;
  }

  protected get isFull(): boolean {
    return (this.pauseReasons & PAUSED_BY_HANDLERS) !== 0;
  }

  /** Continues to read if `pauseReasons` is 0. */
  protected abstract continueReading(): void;

  /** Called when a promise of onMessage has settled. */
  protected abstract onHandlerSettled(): void;

  /** Calls onMessage, through the task pool if there is one. */
  protected deliver(message: In): void {
    this.messagesRead++;
    const { listener, taskPool } = this.setup;
    if (taskPool !== undefined) return this.#deliverTo(taskPool, message);
    try {
      const promise = promiseOf(listener.onMessage(this.session, message));
      if (promise !== undefined) this.trackHandler(promise);
    } catch (error) {
      this.session.report(handlerError(error));
    }
  }

  #deliverTo(pool: TaskPool, message: In): void {
    const { listener } = this.setup;
    const { session } = this;
    try {
      // The session may end while the message waits in the pool. The message is then dropped,
      // because onClose is the last event.
      const promise = promiseOf(
        pool.run(() => (this.isStopped ? undefined : listener.onMessage(session, message))),
      );
      if (promise !== undefined) this.trackHandler(promise);
    } catch (error) {
      session.report(handlerError(error));
    }
    if (this.hasFullPool(pool)) this.waitForRoom(pool);
  }

  /** Counts one handler as running until `outcome` settles. */
  protected trackHandler(outcome: Promise<unknown>): void {
    this.handling++;
    countHandler();
    if (this.handling >= this.setup.maxHandling) this.#pauseReading();
    const settled = (): void => {
      this.handling--;
      if (this.isFull && !this.#awaitsRoom) this.#continueIfNotFull();
      this.onHandlerSettled();
    };
    outcome.then(settled, (error) => {
      this.session.report(handlerError(error));
      settled();
    });
  }

  /** A session has one place at most in the queue of the pool. */
  protected waitForRoom(pool: TaskPool): void {
    this.#pauseReading();
    if (this.#awaitsRoom) return;
    this.#awaitsRoom = true;
    const isRepeated = this.#readAtWait === this.messagesRead;
    this.#readAtWait = this.messagesRead;
    // A pool of the program may stay full although room() resolves. Asking it again and again in
    // one turn would block the event loop.
    if (isRepeated) onNextTurn(() => this.#askForRoom(pool));
    else this.#askForRoom(pool);
  }

  #askForRoom(pool: TaskPool): void {
    if (this.isStopped) return;
    callAsync(() => pool.room()).then(
      () => {
        this.#awaitsRoom = false;
        this.#continueIfNotFull();
      },
      (error) =>
        this.session.destroy(
          asGettyError(error, 'HANDLER_FAILED', 'room() of the task pool failed'),
        ),
    );
  }

  /** Whether the pool is full. `full` of a pool of the user may throw. */
  protected hasFullPool(pool: TaskPool): boolean {
    try {
      const { full } = pool;
      refusePromise('HANDLER_FAILED', 'full of the task pool', full);
      return full;
    } catch (error) {
      this.session.destroy(asGettyError(error, 'HANDLER_FAILED', 'full of the task pool failed'));
      return false;
    }
  }

  #pauseReading(): void {
    if (this.isFull) return;
    this.pauseReasons |= PAUSED_BY_HANDLERS;
    this.connection.pause();
  }

  #continueIfNotFull(): void {
    if (this.handling >= this.setup.maxHandling) return;
    this.endPause(PAUSED_BY_HANDLERS);
  }
}
