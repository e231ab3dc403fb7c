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
/** The milliseconds of them that tasks of runInTurn() may take while tasks of onNextTurn() wait. */
const TASKS_SHARE = 5;
/** Milliseconds for a task of onNextTurn() while others wait. In a page, one task has the turn. */
const RESUMED_SHARE = 1;
/** The clock is read once per this number of units; reading it for each message costs too much. */
const UNITS_PER_CHECK = 64;
/** Each 64 bytes count as one unit: a number of bytes is shifted right by this number of bits. */
const UNIT_BITS = 6;
/** Tasks of onNextTurn() that are resumed in one turn; each does at least a few units of work. */
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
/**
 * Handlers that return promises and are called in one turn, after the first as many. Their work
 * goes on in promise callbacks, which run after all of them: time alone is no limit.
 */
const HANDLERS_PER_TURN = 512;
/** Units of spend() for a task of runInTurn(). */
const TASK_UNITS = 4;
/**
 * Bytes. The stream of a waiting reader is paused only above this limit: a pause costs system
 * calls, and the next turn mostly begins earlier.
 */
export const MAX_WAITING_BYTES = 256 * 1024;

/** Undefined in a page. */
const nextTick = globalThis.process?.nextTick;

/** Tasks of onNextTurn(). */
let waiting = new Queue<() => void>();
/** Tasks of runInTurn() that have not run. */
let tasks = new Queue<() => void>();
/** How many of `tasks` and of `waiting` may still run in this turn. */
let tasksLeft = 0;
let resumesLeft = 0;
let units = 0;
/** When the budget of the timed turn is used up, by performance.now(). */
let turnEnd = TURN_SHARE;
/** When the budget of the work in progress is used up. It is turnEnd unless other work waits. */
let shareEnd = TURN_SHARE;
/** shareEnd has passed. */
let isOver = false;
/** How many handlers countHandler() counts until isFull. */
let handlersLeft = HANDLERS_PER_TURN;
/** So many handlers run that further messages must wait. */
let isFull = false;
/** begin() runs in the next turn. Until then this turn is timed. */
let isScheduled = false;
/** Lists of inTurns() that continue when the promise callbacks have run. */
let continuing = 0;
/** The setImmediate() that calls begin(). */
let scheduledWith = globalThis.setImmediate;

export type TurnState = Readonly<ReturnType<typeof presentState>>;

function presentState() {
  const left = { tasksLeft, resumesLeft, handlersLeft, units };
  return { waiting, tasks, ...left, turnEnd, shareEnd, isOver, isFull, isScheduled };
}

/**
 * Replaces the state of this module, and returns the former state. `next` undefined: the state of a
 * new process. A simulation has one state for each simulated process.
 */
export function exchangeState(next?: TurnState): TurnState {
  const former = presentState();
  waiting = next?.waiting ?? new Queue();
  tasks = next?.tasks ?? new Queue();
  tasksLeft = next?.tasksLeft ?? 0;
  resumesLeft = next?.resumesLeft ?? 0;
  handlersLeft = next?.handlersLeft ?? HANDLERS_PER_TURN;
  units = next?.units ?? 0;
  turnEnd = next?.turnEnd ?? TURN_SHARE;
  shareEnd = next?.shareEnd ?? TURN_SHARE;
  isOver = next?.isOver ?? false;
  isFull = next?.isFull ?? false;
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
 * turn, or the share of a task of onNextTurn(), is used up: then let the rest wait.
 */
export function spend(count: number): boolean {
  units += count;
  return units < UNITS_PER_CHECK ? isOver || isFull : check() || isFull;
}

/** The result of spend(), without counting work. */
export function isTurnOver(): boolean {
  return isOver || isFull;
}

/** As isTurnOver(), for work that countHandler() has counted. */
export function isTimeOver(): boolean {
  return isOver;
}

/** Counts a handler that has returned a promise. */
export function countHandler(): void {
  if (--handlersLeft > 0) return;
  handlersLeft = HANDLERS_PER_TURN;
  // As in check().
  if (isScheduled) isFull = true;
  else timeTurn();
}

function check(): boolean {
  units = 0;
  if (isOver) return true;
  const time = performance.now();
  // A share that ends later was timed by another clock, which a test had replaced.
  if (time < shareEnd && time >= shareEnd - TURN_SHARE) return false;
  // Many turns may have passed since the last check. This turn is timed from here on.
  if (isScheduled) isOver = true;
  else timeTurn(time);
  return isOver;
}

/** Times this turn from `time` on. */
function timeTurn(time = performance.now()): void {
  turnEnd = shareEnd = time + TURN_SHARE;
  schedule();
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
    if (nextTick === undefined) continue;
    continuing++;
    return afterPromises(() => {
      continuing--;
      return check() ? wait() : handleFrom(at, items, handle, end);
    });
  }
}

/**
 * Calls `task` at once, or in a later turn if the budget is used up, before the tasks of
 * onNextTurn(). Tasks run in order. Use it at the end of a wait, such as a timer: many waits may
 * end together. `task` must not throw.
 */
export function runInTurn(task: () => void): void {
  if (tasks.length === 0 && !spend(TASK_UNITS)) return task();
  tasks.push(task);
  schedule();
}

/** For each promise, the functions that settle the promises of settleInTurns(). */
const shared = new WeakMap<Promise<unknown>, (() => void)[]>();

/** Settles as `promise` does. Callers that wait for the same promise continue in several turns. */
export function settleInTurns<T>(promise: Promise<T>): Promise<T> {
  const waits = shared.get(promise) ?? shareWaits(promise);
  return new Promise((resolve) => waits.push(() => resolve(promise)));
}

function shareWaits(promise: Promise<unknown>): (() => void)[] {
  const waits: (() => void)[] = [];
  const settle = (): void => {
    shared.delete(promise);
    inTurns(waits, (wait) => wait());
  };
  shared.set(promise, waits);
  promise.then(settle, settle);
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
  isOver = isFull = false;
  handlersLeft = HANDLERS_PER_TURN;
  units = 0;
  const time = performance.now();
  turnEnd = shareEnd = time + TURN_SHARE;
  if (waiting.length + tasks.length === 0) return;
  // A turn with waiting work is timed from its beginning.
  schedule();
  tasksLeft = ITEMS_PER_TURN;
  resumesLeft = Math.min(waiting.length, RESUMED_PER_TURN);
  if (resumesLeft > 0) shareEnd = time + TASKS_SHARE;
  if (tasks.length === 0) resumeNext(time);
  else runTasks();
}

/** Runs a few tasks of runInTurn(). Their promise callbacks run, and are timed, before more. */
function runTasks(): void {
  afterPromises(continueTasks);
  const most = nextTick === undefined ? tasksLeft : TASKS_AT_ONCE;
  for (let left = Math.min(tasks.length, most); left > 0; left--) {
    tasksLeft--;
    try {
      tasks.peek()?.();
    } finally {
      // The task stays in the queue until now, so that a task that it adds waits.
      tasks.shift();
    }
    if (spend(TASK_UNITS)) break;
  }
  if (nextTick === undefined) resumeNext(performance.now());
}

function continueTasks(): void {
  if (continuing > 0) afterPromises(continueTasks);
  else if (tasks.length > 0 && tasksLeft > 0 && !check()) runTasks();
  // One task of onNextTurn() is resumed in each turn, even if the budget is used up.
  else resumeNext(performance.now());
}

/** Resumes a task of onNextTurn(). Its promise callbacks run, and are timed, before the next. */
function resumeNext(time: number): void {
  isOver = resumesLeft === 0 && time >= turnEnd;
  shareEnd = Math.max(turnEnd, time + RESUMED_SHARE);
  if (resumesLeft === 0) return;
  resumesLeft--;
  const resume = waiting.shift();
  if (waiting.length > 0 && nextTick !== undefined) shareEnd = time + RESUMED_SHARE;
  afterPromises(resumeUnlessOver);
  resume?.();
}

function resumeUnlessOver(): void {
  if (continuing > 0) return afterPromises(resumeUnlessOver);
  const time = performance.now();
  if (time < turnEnd) resumeNext(time);
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
