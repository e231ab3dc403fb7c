/**
 * A tick is one event of the operating system, with all callbacks that it causes before the next
 * event. The time is read once per tick, and sessions that wrote are flushed at its end. (The turn
 * of core/turn.ts is one iteration of the event loop, with many events.)
 */

export interface Flushable {
  /** Should not throw: a session whose connection fails ends with an error. */
  flush(): void;
}

// process.nextTick() runs the task after the callback of the event, or, if a promise callback calls
// it, after all promise callbacks. Each flush is one system call.
const schedule: (task: () => void) => void = globalThis.process?.nextTick ?? queueMicrotask;

let dirty: Flushable[] = [];
let flushes = 0;
let time = 0;
let isFresh = false;
let inEvent = false;
let scheduled = false;

export interface FlushState {
  readonly dirty: Flushable[];
  readonly flushes: number;
  readonly time: number;
  readonly isFresh: boolean;
  readonly inEvent: boolean;
  readonly scheduled: boolean;
}

/** As exchangeState() of core/turn.ts. */
export function exchangeState(next?: FlushState): FlushState {
  const former = { dirty, flushes, time, isFresh, inEvent, scheduled };
  dirty = next?.dirty ?? [];
  flushes = next?.flushes ?? 0;
  time = next?.time ?? 0;
  isFresh = next?.isFresh ?? false;
  inEvent = next?.inEvent ?? false;
  scheduled = next?.scheduled ?? false;
  return former;
}

/**
 * Flushes `session` at the end of this tick. Call it once per flush. Returns the number of flushes
 * of all sessions, as an int32.
 */
export function flushSoon(session: Flushable): number {
  dirty.push(session);
  endSoon();
  flushes = (flushes + 1) | 0;
  return flushes;
}

/** Calls `task` after all callbacks of this tick. `task` must not throw. */
export function atEndOfTick(task: () => void): void {
  schedule(task);
}

/** The timers and the clock of the process, as checkTimers() found them last. */
let usedInterval = globalThis.setInterval;
let usedClock = performance.now;
let onReplaced = (): void => {};

/** Sets the function that checkTimers() calls. */
export function onTimersReplaced(callback: () => void): void {
  onReplaced = callback;
}

/**
 * A test may replace the timers and the clock of the process, and restore them. Timers that were
 * made before do not fire any more then. Each tick that reads the clock checks it.
 */
export function checkTimers({ now: clock } = performance): void {
  if (globalThis.setInterval === usedInterval && clock === usedClock) return;
  usedInterval = globalThis.setInterval;
  usedClock = clock;
  onReplaced();
}

/** Monotonic milliseconds. The clock is read once per tick, because each call needs the time. */
export function now(): number {
  if (!isFresh) {
    const clock = performance;
    time = clock.now();
    isFresh = true;
    endSoon();
    checkTimers(clock);
  }
  return time;
}

/**
 * An event of the operating system begins. Its callback may call this first and endEvent() last.
 * Then endEvent() flushes directly, without process.nextTick().
 */
export function beginEvent(): void {
  inEvent = true;
}

/** Ends the tick of an event: flushes the sessions that wrote in it. */
export function endEvent(): void {
  inEvent = false;
  if (isFresh || dirty.length > 0) end();
}

function endSoon(): void {
  if (inEvent || scheduled) return;
  scheduled = true;
  schedule(end);
}

function end(): void {
  scheduled = false;
  isFresh = false;
  if (dirty.length === 0) return;
  const sessions = dirty;
  dirty = [];
  for (const session of sessions) {
    try {
      session.flush();
    } catch (error) {
      // Outside of this loop: the other sessions of the tick are flushed first.
      schedule(() => {
        throw error;
      });
    }
  }
}
