/** The open sessions of a client. next() returns one session after the other. */

import type { TransportSession } from '../session/session.js';
import type { Session } from '../types.js';

/** Keys of the clients that connect() returns; see InternalClient. */
export const REPLACE_SESSION = Symbol('replaceSession');
export const HAS_GIVEN_UP = Symbol('hasGivenUp');

/** What a client has for the rpc layer. */
export interface InternalClient<In, Out> {
  /** Whether `reconnect.maxAttempts` is reached, or `reconnect` is false: it dials no more. */
  readonly [HAS_GIVEN_UP]?: boolean;
  /**
   * Opens another session in the place of `session`, whose peer wants no new work. The client does
   * not return `session` any more, and does not close it. Without another session, session() dials
   * at once. Does nothing when `session` was lost or replaced before.
   */
  [REPLACE_SESSION]?(session: Session<In, Out>): void;
}

export class OpenSessions<In, Out> {
  /** In the order in which next() returns them. */
  #sessions: TransportSession<In, Out>[] = [];
  /** Times of performance.now(). */
  readonly #openedAt = new WeakMap<Session<In, Out>, number>();
  /** The index of the session that was returned last. */
  #lastReturned = 0;

  get size(): number {
    return this.#sessions.length;
  }

  /** The next session. Sessions that are closing are still in the list; they are skipped. */
  next(): TransportSession<In, Out> | undefined {
    const sessions = this.#sessions;
    for (let tries = sessions.length; tries > 0; tries--) {
      this.#lastReturned = (this.#lastReturned + 1) % sessions.length;
      const session = sessions[this.#lastReturned] as TransportSession<In, Out>;
      if (!session.closed) return session;
    }
    return undefined;
  }

  add(session: TransportSession<In, Out>): void {
    this.#openedAt.set(session, performance.now());
    this.#sessions.push(session);
  }

  /** Removes a session. Returns for how many ms it was open; undefined: it is not in the list. */
  remove(session: Session<In, Out>): number | undefined {
    const remaining = this.#sessions.filter((other) => other !== session);
    if (remaining.length === this.#sessions.length) return undefined;
    this.#sessions = remaining;
    return performance.now() - (this.#openedAt.get(session) as number);
  }
}
