/** The end of a session: why it ended, and what waits for it. */
import { notify } from '../../core/callbacks.js';
import type { GettyError } from '../../core/errors.js';
import { badOption } from '../../core/options.js';
import type { CloseCallback, Session } from '../types.js';
import { handlerError } from './session-errors.js';

/** A session as its end uses it. */
export interface EndingSession<In, Out> extends Session<In, Out> {
  /** Reports an error to the listener. */
  report(error: GettyError): void;
}

export class SessionEnd<In, Out> {
  readonly #session: EndingSession<In, Out>;
  #hasEnded: boolean;
  /** Undefined: no error has ended the session. */
  reason: GettyError | undefined;
  #callbacks: Set<CloseCallback<In, Out>> | undefined;
  #promise: Promise<void> | undefined;
  #resolve: (() => void) | undefined;

  /** `hasEnded`: the connection is closed. */
  constructor(session: EndingSession<In, Out>, hasEnded: boolean) {
    this.#session = session;
    this.#hasEnded = hasEnded;
  }

  /** Settles when settle() is called, or at once if the connection is closed. */
  get promise(): Promise<void> {
    this.#promise ??= new Promise((resolve) => {
      if (this.#hasEnded) resolve();
      else this.#resolve = resolve;
    });
    return this.#promise;
  }

  /** See Session.addCloseCallback. */
  add(callback: CloseCallback<In, Out>): void {
    if (typeof callback !== 'function') throw badOption('callback', callback, 'a function');
    if (this.#hasEnded) queueMicrotask(() => this.#call(callback));
    else {
      this.#callbacks ??= new Set();
      this.#callbacks.add(callback);
    }
  }

  /** See Session.removeCloseCallback. */
  remove(callback: CloseCallback<In, Out>): boolean {
    return this.#callbacks?.delete(callback) ?? false;
  }

  /** Calls the callbacks: the connection is closed. */
  callBack(): void {
    this.#hasEnded = true;
    for (const callback of this.#callbacks ?? []) {
      // First, so that removeCloseCallback() is false from now on.
      this.#callbacks?.delete(callback);
      this.#call(callback);
    }
  }

  #call(callback: CloseCallback<In, Out>): void {
    const session = this.#session;
    notify(
      () => callback(session, this.reason),
      (failure) => session.report(handlerError(failure, 'a close callback')),
    );
  }

  settle(): void {
    this.#resolve?.();
  }
}
