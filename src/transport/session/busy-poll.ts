/**
 * Busy polling: while an answer is expected, the event loop polls without sleeping. It uses a whole
 * core. It saves the time of waking up, which is more than half of a call within one machine.
 */

/** When polling ends: a time of performance.now(). */
let pollingEnd = 0;
/** Milliseconds of the last spinFor(). */
let pollingTime = 0;
let isPolling = false;

export interface PollState {
  readonly pollingEnd: number;
  readonly pollingTime: number;
  readonly isPolling: boolean;
}

/** As exchangeState() of core/turn.ts. */
export function exchangeState(next?: PollState): PollState {
  const former = { pollingEnd, pollingTime, isPolling };
  pollingEnd = next?.pollingEnd ?? 0;
  pollingTime = next?.pollingTime ?? 0;
  isPolling = next?.isPolling ?? false;
  return former;
}

/** Polls for `ms` milliseconds from now on. Does nothing in a browser. */
export function spinFor(ms: number): void {
  pollingEnd = performance.now() + ms;
  pollingTime = ms;
  if (isPolling || globalThis.setImmediate === undefined) return;
  isPolling = true;
  globalThis.setImmediate(poll);
}

/** While an immediate waits, the event loop does not sleep in its poll phase. */
function poll(): void {
  const left = pollingEnd - performance.now();
  // More time was left by another clock, which a test had replaced.
  if (left > 0 && left <= pollingTime) globalThis.setImmediate(poll);
  else isPolling = false;
}
