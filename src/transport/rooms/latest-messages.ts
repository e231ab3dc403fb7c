import type { SharedMessage } from '../buffers/shared-message.js';
import type { AnySession } from './broadcast-options.js';

/**
 * What waits for each slow session: the newest message of each topic. All topics share one wait for
 * unblocked(), because a session may join and leave very many topics while it is slow. Entries are
 * removed when the session has drained or is closed.
 */
const waiting = new WeakMap<AnySession, Map<LatestMessages, SharedMessage>>();

/**
 * The newest message of a topic for each of its slow sessions. The bytes of a message are shared
 * with other sessions.
 */
export class LatestMessages {
  /** Sends `message` to `session`, which is open. It must not throw. */
  readonly send: (session: AnySession, message: SharedMessage) => void;

  constructor(send: (session: AnySession, message: SharedMessage) => void) {
    this.send = send;
  }

  /** Sends `message` when `session` has drained, unless a newer one replaces it. */
  put(session: AnySession, message: SharedMessage): void {
    let messages = waiting.get(session);
    if (messages === undefined) {
      messages = new Map();
      waiting.set(session, messages);
      sendWhenDrained(session, messages);
    }
    messages.set(this, message);
  }

  /** Drops the message that waits for `session`. */
  drop(session: AnySession): void {
    waiting.get(session)?.delete(this);
  }
}

function sendWhenDrained(session: AnySession, messages: Map<LatestMessages, SharedMessage>): void {
  session.unblocked().then(
    () => sendAll(session, messages),
    () => waiting.delete(session),
  );
}

function sendAll(session: AnySession, messages: Map<LatestMessages, SharedMessage>): void {
  for (const [topic, message] of messages) {
    if (session.closed) break;
    // The message of another topic may have filled the queue again. Waits of send() can block the
    // session while its queue is below highWaterMark.
    if (session.isBehind || session.isBlocked) return sendWhenDrained(session, messages);
    messages.delete(topic);
    topic.send(session, message);
  }
  waiting.delete(session);
}
