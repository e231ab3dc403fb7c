/**
 * A time limit that a busy process does not shorten: an answer that has arrived and is not read yet
 * is read first.
 */

import { startInterval } from '../../../core/timers.js';

/** The least number of timer events within the limit. */
const TURNS = 8;

/**
 * Calls `onExpired` after `ms` milliseconds in which the event loop has turned at least TURNS
 * times. Starts again if `onExpired` returns true. Returns the function that stops it.
 * `keepsAlive`: whether the process waits for the deadline.
 */
export function startDeadline(ms: number, onExpired: () => boolean, keepsAlive = true): () => void {
  let turns = 0;
  let isStopped = false;
  const timer = startInterval(() => {
    turns++;
    if (turns % TURNS !== 0) return;
    // Node.js reads sockets between the timers and setImmediate().
    setImmediate(() => {
      if (!isStopped && !onExpired()) stop();
    });
  }, ms / TURNS);
  if (!keepsAlive) timer.unref();
  const stop = (): void => {
    isStopped = true;
    clearInterval(timer);
  };
  return stop;
}
