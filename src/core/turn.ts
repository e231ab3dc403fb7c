/**
 * Divides long work among turns of the event loop, so that one busy peer does not delay timers,
 * signals and other sessions. The thread has one budget per turn: many sessions with little work
 * each can use it up together.
 */
import { Queue } from './queue.js';

/**
 * Milliseconds of work in one turn; the rest waits for the next turn. A turn is timed only after as
 * many milliseconds have passed since the last check.
 */
const TURN_SHARE = 10;
/** The clock is read once per this number of units; reading it for each message costs too much. */
const UNITS_PER_CHECK = 64;
/** Each 64 bytes count as one unit: a number of bytes is shifted right by this number of bits. */
const UNIT_BITS = 6;
/** Waiting tasks that continue in one turn; each one does at least a few units of work. */
const RESUMED_PER_TURN = 64;

/**
 * inTurns() checks the budget after this number of items and their promise callbacks; each may call
 * code of the user.
 */
const ITEMS_AT_ONCE = 16;
/** As ITEMS_AT_ONCE, for the tasks of runInTurn(). Each ends a wait, and may begin much work. */
const TASKS_AT_ONCE = 4;
/**
 * The most items of inTurns(), and tasks of runInTurn(), in one turn. In a page the time of their
 * promise callbacks is not measured, so time alone is no limit.
 */
const ITEMS_PER_TURN = 512;
/** Units of spend() for a task of runInTurn(). */
const TASK_UNITS = 4;
/**
 * Bytes. If the reader of a stream waits for the next turn, the stream is paused only above this
 * limit. The next turn mostly begins earlier, and a pause costs system calls.
 */
export const MAX_WAITING_BYTES = 256 * 1024;

/** Undefined in a page. */
const nextTick = globalThis.process?.nextTick;

let waiting = new Queue<() => void>();
/** Tasks of runInTurn() that have not run. */
let tasks = new Queue<() => void>();
/** How many of them may run in this turn. */
let tasksLeft = 0;
let resumesLeft = 0;
let units = 0;
/** When the timed turn began, or when its timing began. By performance.now(). */
let turnBegan = 0;
let isOver = false;
/** begin() runs in the next turn. Until then this turn is timed. */
let isScheduled = false;
/** The setImmediate() that calls begin(). */
let scheduledWith = globalThis.setImmediate;

export interface TurnState {
  readonly waiting: Queue<() => void>;
  readonly tasks: Queue<() => void>;
  readonly tasksLeft: number;
  readonly resumesLeft: number;
  readonly units: number;
  readonly turnBegan: number;
  readonly isOver: boolean;
  readonly isScheduled: boolean;
}

/**
 * Replaces the state of this module, and returns the former state. `next` undefined: the state of a
 * new process. A simulation has one state for each simulated process.
 */
export function exchangeState(next?: TurnState): TurnState {
  const former = { waiting, tasks, tasksLeft, resumesLeft, units, turnBegan, isOver, isScheduled };
  waiting = next?.waiting ?? new Queue();
  tasks = next?.tasks ?? new Queue();
  tasksLeft = next?.tasksLeft ?? 0;
  resumesLeft = next?.resumesLeft ?? 0;
  units = next?.units ?? 0;
  turnBegan = next?.turnBegan ?? 0;
  isOver = next?.isOver ?? false;
  isScheduled = next?.isScheduled ?? false;
  return former;
}

/**
 * The units of a message. Decoding 4 KiB of one content can take as long as 4 MiB of another, so
 * the clock is read after each message of 4 KiB.
 */
export function unitsOf(bytes: number): number {
  return 1 + (bytes >>> UNIT_BITS);
}

/**
 * Counts work before it is done; a small message is one unit. Returns true when the budget of this
 * turn is used up: work that can wait should wait for onNextTurn().
 */
export function spend(count: number): boolean {
  units += count;
  return units < UNITS_PER_CHECK ? isOver : check();
}

/** The result of spend(), without counting work. */
export function isTurnOver(): boolean {
  return isOver;
}

function check(): boolean {
  units = 0;
  if (isOver) return true;
  const time = performance.now();
  if (time - turnBegan < TURN_SHARE) return false;
  // Many turns may have passed since the last check. This turn is timed from here on.
  if (isScheduled) isOver = true;
  else {
    turnBegan = time;
    schedule();
  }
  return isOver;
}

/** Calls `resume` in a later turn, in the order of the calls. `resume` must not throw. */
export function onNextTurn(resume: () => void): void {
  waiting.push(resume);
  schedule();
}

/**
 * Calls `handle` for each item in order, in several turns if the budget is used up. `handle` must
 * not throw.
 */
export function inTurns<T>(items: readonly T[], handle: (item: T) => void): void {
  // Many lists of few items may come in one turn.
  if (items.length > 0 && spend(Math.min(items.length, ITEMS_AT_ONCE)))
    onNextTurn(() => handleFrom(0, items, handle));
  else handleFrom(0, items, handle);
}

/** `end`: the index of the first item that must wait for another turn. */
function handleFrom<T>(
  first: number,
  items: readonly T[],
  handle: (item: T) => void,
  end = first + ITEMS_PER_TURN,
): void {
  for (let at = first; at < items.length; ) {
    handle(items[at++] as T);
    if (at % ITEMS_AT_ONCE !== 0 || at === items.length) continue;
    const wait = (): void => onNextTurn(() => handleFrom(at, items, handle));
    if (spend(ITEMS_AT_ONCE) || at >= end) return wait();
    if (nextTick !== undefined)
      return afterPromises(() => (check() ? wait() : handleFrom(at, items, handle, end)));
  }
}

/**
 * Calls `task` at once, or in a later turn if the budget is used up. Tasks run in order. Use it at
 * the end of a wait, such as a timer: many waits may end together. `task` must not throw.
 */
export function runInTurn(task: () => void): void {
  if (tasks.length === 0 && !spend(TASK_UNITS)) return task();
  tasks.push(task);
  if (tasks.length === 1) onNextTurn(runTasks);
}

function runTasks(): void {
  tasksLeft = ITEMS_PER_TURN;
  runNextTasks();
}

/** Runs a few tasks. Their promise callbacks run, and are timed, before the next ones. */
function runNextTasks(): void {
  let left = Math.min(tasks.length, nextTick === undefined ? tasksLeft : TASKS_AT_ONCE);
  tasksLeft -= left;
  let isOver = false;
  try {
    for (; left > 0 && !isOver; left--) {
      try {
        tasks.peek()?.();
      } finally {
        // The task stays in the queue until now, so a task that it adds does not call onNextTurn().
        tasks.shift();
      }
      isOver = spend(TASK_UNITS);
    }
  } finally {
    if (tasks.length > 0) {
      if (isOver || tasksLeft <= 0 || nextTick === undefined) onNextTurn(runTasks);
      else afterPromises(runTasksUnlessOver);
    }
  }
}

function runTasksUnlessOver(): void {
  if (check()) onNextTurn(runTasks);
  else runNextTasks();
}

interface SharedWait {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** The waits of settleInTurns() for each promise. */
const shared = new WeakMap<Promise<unknown>, SharedWait[]>();

/** Settles as `promise` does. Callers that wait for the same promise continue in several turns. */
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

/** Resolves in a later turn of the event loop. */
export function nextTurn(): Promise<void> {
  return new Promise(onNextTurn);
}

function schedule(): void {
  // A test may have replaced setImmediate(), and restored it before begin() ran.
  if (isScheduled && scheduledWith === globalThis.setImmediate) return;
  scheduledWith = globalThis.setImmediate;
  isScheduled = true;
  startTurn(begin);
}

function begin(): void {
  isScheduled = false;
  isOver = false;
  units = 0;
  turnBegan = performance.now();
  if (waiting.length === 0) return;
  // A turn with waiting tasks is timed from its beginning.
  schedule();
  resumesLeft = Math.min(waiting.length, RESUMED_PER_TURN);
  resumeNext();
}

/** Continues one task. Its promise callbacks run, and are timed, before the next task. */
function resumeNext(): void {
  resumesLeft--;
  const resume = waiting.shift();
  if (resumesLeft > 0 && waiting.length > 0) afterPromises(resumeUnlessOver);
  resume?.();
}

function resumeUnlessOver(): void {
  if (performance.now() - turnBegan < TURN_SHARE) resumeNext();
  else isOver = true;
}

/**
 * Calls `task` in this turn, after all promise callbacks. In a page it does nothing, and waiting
 * tasks continue in the next turn.
 */
function afterPromises(task: () => void): void {
  // nextTick() from within a promise callback runs after the last promise callback.
  if (nextTick !== undefined) queueMicrotask(() => nextTick(task));
}

/**
 * setImmediate() in Node.js. In a page a message to itself, because a timer waits 4 ms there, and
 * one second in a hidden page.
 */
const startTurn: (begin: () => void) => void =
  globalThis.setImmediate === undefined
    ? pageTurns()
    : (begin) => void globalThis.setImmediate(begin);

function pageTurns(): (begin: () => void) => void {
  const { MessageChannel, setTimeout: startLater } = globalThis;
  if (MessageChannel === undefined) return (begin) => void startLater(begin, 0);
  // The compiler has the types of Node.js only.
  const { port1, port2 } = new MessageChannel() as unknown as {
    port1: { onmessage: () => void };
    port2: { postMessage(message: undefined): void };
  };
  return (begin) => {
    port1.onmessage = begin;
    port2.postMessage(undefined);
  };
}
