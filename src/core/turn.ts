/**
 * Divides long work among turns of the event loop, so that one busy peer does not hold up timers,
 * signals and other sessions. There is one share for the whole thread: many sessions that do little
 * each can use it up together.
 */
import { Queue } from './queue.js';

/**
 * Milliseconds of work after which the rest waits for the next turn. Up to as many pass before a
 * turn is timed at all.
 */
const TURN_SHARE = 10;
/** The clock is read once in so many units: to read it for each message would cost too much. */
const UNITS_PER_CHECK = 64;
/** Bits by which a number of bytes is shifted: each 64 bytes count as one unit. */
const UNIT_BITS = 6;
/** So many of those that wait go on in one turn; each does a few units of work at least. */
const RESUMED_PER_TURN = 64;

/**
 * inTurns() asks after so many items whether the rest waits: each may set off code of the user's.
 */
const ITEMS_AT_ONCE = 16;
/**
 * inTurns() handles no more in one turn, and as many tasks of runInTurn() run: what they set off in
 * promises runs after the time is measured.
 */
const ITEMS_PER_TURN = 512;
/** Units of spend() for a task of runInTurn(). */
const TASK_UNITS = 4;
/**
 * Bytes of a stream that may be here while its reader waits for its turn; with more the stream is
 * paused. The next turn mostly comes before that, and a pause costs system calls.
 */
export const MAX_WAITING_BYTES = 256 * 1024;

const waiting = new Queue<() => void>();
/** What runInTurn() was given and has not run. */
const tasks = new Queue<() => void>();
let resumesLeft = 0;
let units = 0;
/** When a turn began, or, of the turn that is timed, when that was first known. */
let began = 0;
let isOver = false;
/** The next turn will be noticed: until then this one is timed. */
let isScheduled = false;

/**
 * The units of a message of so many bytes. To decode 4 KiB can take as long as to decode 4 MiB of
 * other content, so the clock is read after each message of that size.
 */
export function unitsOf(bytes: number): number {
  return 1 + (bytes >>> UNIT_BITS);
}

/**
 * Count work that is about to be done; a small message is one unit. True: the share of this turn is
 * used up, so what can wait should wait for onNextTurn().
 */
export function spend(count: number): boolean {
  units += count;
  return units < UNITS_PER_CHECK ? isOver : check();
}

/** As spend() without work. */
export function isTurnOver(): boolean {
  return isOver;
}

function check(): boolean {
  units = 0;
  if (isOver) return true;
  const time = performance.now();
  if (time - began < TURN_SHARE) return false;
  // Many turns may have gone by unnoticed: time this one from here on.
  if (isScheduled) isOver = true;
  else {
    began = time;
    schedule();
  }
  return isOver;
}

/**
 * Call `resume`, which must not throw, in a later turn of the event loop. First come, first served.
 */
export function onNextTurn(resume: () => void): void {
  waiting.push(resume);
  schedule();
}

/**
 * Call `handle`, which must not throw, for each item in order. Items that would take too long in
 * this turn of the event loop are handled in later turns.
 */
export function inTurns<T>(items: readonly T[], handle: (item: T) => void): void {
  // Many lists of few items may come in one turn.
  if (items.length > 0 && spend(Math.min(items.length, ITEMS_AT_ONCE)))
    onNextTurn(() => handleFrom(0, items, handle));
  else handleFrom(0, items, handle);
}

function handleFrom<T>(first: number, items: readonly T[], handle: (item: T) => void): void {
  for (let at = first; at < items.length; ) {
    handle(items[at++] as T);
    if (at % ITEMS_AT_ONCE === 0 && (spend(ITEMS_AT_ONCE) || at - first >= ITEMS_PER_TURN))
      return onNextTurn(() => handleFrom(at, items, handle));
  }
}

/**
 * Call `task`, which must not throw: at once, or in a later turn of the event loop when this one's
 * share is used up. Tasks run in order. For the end of a wait, such as a timer: very many waits may
 * end together.
 */
export function runInTurn(task: () => void): void {
  if (tasks.length === 0 && !spend(TASK_UNITS)) return task();
  tasks.push(task);
  if (tasks.length === 1) onNextTurn(runTasks);
}

function runTasks(): void {
  try {
    for (let left = Math.min(tasks.length, ITEMS_PER_TURN); left > 0; left--) {
      try {
        tasks.peek()?.();
      } finally {
        // It remains in the queue until now, so a task that it adds does not ask for a turn of its
        // own.
        tasks.shift();
      }
      if (spend(TASK_UNITS)) return;
    }
  } finally {
    if (tasks.length > 0) onNextTurn(runTasks);
  }
}

interface SharedWait {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** The waits of settleInTurns() for each promise. */
const shared = new WeakMap<Promise<unknown>, SharedWait[]>();

/**
 * Settles as `promise` does. Very many callers may wait for one promise: they go on in several
 * turns of the event loop.
 */
export function settleInTurns<T>(promise: Promise<T>): Promise<T> {
  const waits = shared.get(promise) ?? shareWaits(promise);
  return new Promise((resolve, reject) =>
    waits.push({ resolve: resolve as SharedWait['resolve'], reject }),
  );
}

function shareWaits(promise: Promise<unknown>): SharedWait[] {
  const waits: SharedWait[] = [];
  const settle = (act: (wait: SharedWait) => void): void => {
    shared.delete(promise);
    inTurns(waits, act);
  };
  shared.set(promise, waits);
  promise.then(
    (value) => settle((wait) => wait.resolve(value)),
    (error) => settle((wait) => wait.reject(error)),
  );
  return waits;
}

/** Settles in a later turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise(onNextTurn);
}

function schedule(): void {
  if (isScheduled) return;
  isScheduled = true;
  startTurn(begin);
}

function begin(): void {
  isScheduled = false;
  isOver = false;
  units = 0;
  began = performance.now();
  if (waiting.length === 0) return;
  // The turn that goes on with such work is timed from its beginning.
  schedule();
  resumesLeft = Math.min(waiting.length, RESUMED_PER_TURN);
  resumeNext();
}

/** What one sets off in promises runs, and is timed, before the next goes on. */
function resumeNext(): void {
  resumesLeft--;
  const resume = waiting.shift();
  if (resumesLeft > 0 && waiting.length > 0) afterPromises(resumeUnlessOver);
  resume?.();
}

function resumeUnlessOver(): void {
  if (performance.now() - began < TURN_SHARE) resumeNext();
  else isOver = true;
}

const nextTick = globalThis.process?.nextTick;

/**
 * Calls `task` in this turn, when all promises have gone on. In a page in the next turn, by
 * schedule().
 */
function afterPromises(task: () => void): void {
  // A tick that is asked for among the promises runs after the last of them.
  if (nextTick !== undefined) queueMicrotask(() => nextTick(task));
}

/**
 * setImmediate() in Node.js. In a page a message to itself: a timer there waits 4 ms, and a second
 * when the page is hidden.
 */
const startTurn: (begin: () => void) => void = globalThis.setImmediate ?? pageTurns();

function pageTurns(): (begin: () => void) => void {
  const { MessageChannel, setTimeout: startLater } = globalThis;
  if (MessageChannel === undefined) return (begin) => void startLater(begin, 0);
  // The compiler knows the ports of Node.js only.
  const { port1, port2 } = new MessageChannel() as unknown as {
    port1: { onmessage: () => void };
    port2: { postMessage(message: undefined): void };
  };
  return (begin) => {
    port1.onmessage = begin;
    port2.postMessage(undefined);
  };
}
