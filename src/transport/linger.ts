/** The end of a connection whose peer is refused or has violated the protocol. */
import { startTimer } from '../core/timers.js';
import { runInTurn } from '../core/turn.js';

/** Milliseconds. */
const LINGER_TIME = 1_000;

/**
 * Destroys `connection` after 1 s, so that the peer can read the last bytes: an immediate destroy()
 * drops unsent bytes, and the system resets the connection if the peer sends more. Returns the
 * timer.
 */
export function destroyAfterLinger(connection: { destroy(): unknown }): NodeJS.Timeout {
  return startTimer(() => runInTurn(() => void connection.destroy()), LINGER_TIME);
}
