import type { SharedMessage } from '../buffers/shared-message.js';
import type { AnySession } from './broadcast-options.js';

interface Waiting {
  /** Undefined: the session has got a newer message, and needs none when it has drained. */
  message: SharedMessage | undefined;
}

/**
 * The newest message of a topic for each of its slow sessions. A session has at most one wait for
 * unblocked() and one message here. The bytes of a message are shared with other sessions.
 */
export class LatestMessages {
  /** Entries are removed when the session has drained or is closed. */
  readonly #waiting = new WeakMap<AnySession, Waiting>();
  /** Sends `message` to `session`, which is open. It must not throw. */
  readonly #send: (session: AnySession, message: SharedMessage) => void;

  constructor(send: (session: AnySession, message: SharedMessage) => void) {
    this.#send = send;
  }

  /** Sends `message` when `session` has drained, unless a newer one replaces it. */
  put(session: AnySession, message: SharedMessage): void {
    const former = this.#waiting.get(session);
    if (former !== undefined) former.message = message;
    else this.#wait(session, { message });
  }

  /** Drops the message that waits for `session`. */
  drop(session: AnySession): void {
    const waiting = this.#waiting.get(session);
    if (waiting !== undefined) waiting.message = undefined;
  }

  #wait(session: AnySession, waiting: Waiting): void {
    this.#waiting.set(session, waiting);
    session.unblocked().then(
      () => this.#onDrained(session, waiting),
      () => this.#waiting.delete(session),
    );
  }

  #onDrained(session: AnySession, waiting: Waiting): void {
    const { message } = waiting;
    // The message of another topic, which has waited too, may have filled the queue again. Waits of
    // send() can block the session while its queue is below highWaterMark.
    const isSlow = session.isBehind || session.isBlocked;
    if (message !== undefined && isSlow && !session.closed) return this.#wait(session, waiting);
    this.#waiting.delete(session);
    if (message !== undefined && !session.closed) this.#send(session, message);
  }
}
