/**
 * A tick: an event of the system and all that it sets off before the next. The time is read once in
 * it, and sessions that wrote are flushed together at its end.
 */

export interface Flushable {
  flush(): void;
}

// After the event's own callback, and then again after the promise continuations that it set off:
// each leaves in one system call.
const schedule: (task: () => void) => void = globalThis.process?.nextTick ?? queueMicrotask;

let dirty: Flushable[] = [];
let flushes = 0;
let time = 0;
let isFresh = false;
let inEvent = false;
let scheduled = false;

/**
 * Flush `session` at the end of this tick. Call it once per flush. Answers how many flushes there
 * were, of all sessions, as an int32.
 */
export function flushSoon(session: Flushable): number {
  dirty.push(session);
  endSoon();
  flushes = (flushes + 1) | 0;
  return flushes;
}

/**
 * Monotonic milliseconds, read from the system once per tick: the hot path asks for it per call.
 */
export function now(): number {
  if (!isFresh) {
    time = performance.now();
    isFresh = true;
    endSoon();
  }
  return time;
}

/**
 * The system has something for us. Whoever is called by it may call this first and endEvent() last,
 * which spares the tick a detour through Node's queue.
 */
export function beginEvent(): void {
  inEvent = true;
}

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
  for (const session of sessions) session.flush();
}
