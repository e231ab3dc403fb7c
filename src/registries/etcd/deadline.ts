/**
 * A time limit that a busy process does not shorten: an answer that has arrived and was not read
 * yet is read first.
 */

import { startInterval } from '../../core/timers.js';

/** Turns of the event loop that the limit takes at least. */
const TURNS = 8;

/**
 * Calls `expired` after `ms` milliseconds in which the event loop has turned a few times, and again
 * after as many if it returns true. Returns the function that ends it. Keeps the process alive.
 */
export function startDeadline(ms: number, expired: () => boolean): () => void {
  let turns = 0;
  let isOver = false;
  const timer = startInterval(() => {
    turns++;
    if (turns % TURNS !== 0) return;
    // Sockets are read between the timers and setImmediate().
    setImmediate(() => {
      if (!isOver && !expired()) stop();
    });
  }, ms / TURNS);
  const stop = (): void => {
    isOver = true;
    clearInterval(timer);
  };
  return stop;
}
