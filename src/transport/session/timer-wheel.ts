/**
 * Runs all periodic work. There is one timer for each distinct period, and the tasks of a period
 * are spread over it, so that 10,000 sessions do not send their heartbeats at the same time.
 */
import { startInterval } from '../../core/timers.js';
import { inTurns } from '../../core/turn.js';
import { checkTimers, now, onTimersReplaced } from './flush-scheduler.js';

/**
 * An object with periodic work. It is the entry of the wheel, so 10,000 of them cost no closures.
 */
export interface PeriodicTask {
  /** Does the work of one period. Must not throw. */
  runPeriodic(): void;
}

/** The most slices of a period. */
const SLICES = 64;
/** The shortest slice, in milliseconds. */
const SHORTEST_SLICE = 5;
/**
 * A timer that is this much later than its period shows that the process did not run: the machine
 * was suspended, or one task took long. Milliseconds.
 */
const MIN_SUSPENSION = 2_000;
let wheels = new Map<number, Wheel>();
let wokeAt = 0;

/**
 * When the process last continued after it had not run: a time of now(). 0: never. The silence of a
 * peer before that time does not count, because the peer may have been suspended too.
 */
export function lastWake(): number {
  return wokeAt;
}

// Periodic work runs after the poll phase. So bytes that have arrived are read before the work
// checks the silence of a peer or the deadline of a call.
const afterPoll: (task: () => void) => void =
  globalThis.setImmediate === undefined
    ? (task) => task()
    : (task) => void globalThis.setImmediate(task);

// Ends timers of the process also while a test has replaced them. Ignores the timers of a test.
const { clearInterval: clearProcessInterval } = globalThis;

class Wheel {
  readonly #period: number;
  readonly #buckets: Set<PeriodicTask>[];
  #cursor = 0;
  #size = 0;
  /** The number of tasks that keep the process running. */
  #refCount = 0;
  #timer!: NodeJS.Timeout;
  readonly #slice: number;
  #ranAt = Math.ceil(now());

  constructor(period: number) {
    this.#period = period;
    const slices = Math.max(1, Math.min(SLICES, Math.floor(period / SHORTEST_SLICE)));
    this.#buckets = Array.from({ length: slices }, () => new Set());
    this.#slice = Math.ceil(period / slices);
    this.#startTimer();
  }

  #startTimer(): void {
    const { clearInterval } = globalThis;
    const timer = startInterval(() => {
      // A timer of replaced functions may still fire.
      if (timer === this.#timer) afterPoll(this.#runSlice);
      else clearInterval(timer);
    }, this.#period / this.#buckets.length);
    this.#timer = timer;
    if (this.#refCount === 0) timer.unref?.();
  }

  /**
   * Starts the timer again. `isReplaced`: with other functions than before, and with another clock.
   */
  restart(isReplaced: boolean): void {
    if (isReplaced) {
      // The clearInterval() of a test must not get a timer that the process or another test made.
      clearProcessInterval(this.#timer);
      this.#ranAt = Math.ceil(performance.now());
    } else clearInterval(this.#timer);
    this.#startTimer();
  }

  /** Whether the timer is so late that it may have been removed, as by vi.clearAllTimers(). */
  get isOverdue(): boolean {
    return now() - this.#ranAt > this.#slice + MIN_SUSPENSION;
  }

  /** The task first runs one period from now, or up to one slice earlier. */
  add(task: PeriodicTask): void {
    const slices = this.#buckets.length;
    (this.#buckets[(this.#cursor + slices - 1) % slices] as Set<PeriodicTask>).add(task);
    this.#size++;
  }

  remove(task: PeriodicTask): void {
    if (!this.#buckets.some((bucket) => bucket.delete(task))) return;
    this.#size--;
    if (this.#size > 0) return;
    checkTimers();
    clearInterval(this.#timer);
    wheels.delete(this.#period);
  }

  /** The timer keeps the process running until unref() was called as often as ref(). */
  ref(): void {
    this.#refCount++;
    this.#timer.ref?.();
  }

  unref(): void {
    this.#refCount--;
    if (this.#refCount === 0) this.#timer.unref?.();
  }

  readonly #runSlice = (): void => {
    const time = Math.ceil(now());
    if (time - this.#ranAt > this.#slice + MIN_SUSPENSION) wokeAt = time;
    this.#ranAt = time;
    const bucket = this.#buckets[this.#cursor] as Set<PeriodicTask>;
    this.#cursor = (this.#cursor + 1) % this.#buckets.length;
    // A copy, because tasks that another task adds are due one period from now. Tasks that another
    // task removes do not run.
    inTurns([...bucket], (task) => {
      if (bucket.has(task)) task.runPeriodic();
    });
  };
}

/**
 * Runs `task` every `period` ms until it is removed. Add it once. It does not keep the process
 * running.
 */
export function addPeriodic(period: number, task: PeriodicTask): void {
  wheelOf(period).add(task);
}

function wheelOf(period: number): Wheel {
  checkTimers();
  let wheel = wheels.get(period);
  if (wheel === undefined) {
    wheel = new Wheel(period);
    wheels.set(period, wheel);
  } else if (wheel.isOverdue) wheel.restart(false);
  return wheel;
}

onTimersReplaced(() => {
  for (const wheel of wheels.values()) wheel.restart(true);
  // The silence of a peer until now was measured by another clock, and so was the former wake.
  wokeAt = wheels.size > 0 ? Math.ceil(performance.now()) : 0;
});

/** Removes a task that addPeriodic() added. Does nothing if it was not added. */
export function removePeriodic(period: number, task: PeriodicTask): void {
  wheels.get(period)?.remove(task);
}

/**
 * Calls `task` every `period` ms until the returned function is called. `task` must not throw.
 * `keepsProcess`: whether it keeps the process running.
 */
export function every(period: number, task: () => void, keepsProcess = false): () => void {
  // A new entry, so that the same function can be added twice.
  const entry: PeriodicTask = { runPeriodic: task };
  const wheel = wheelOf(period);
  wheel.add(entry);
  let isKept = keepsProcess;
  if (isKept) wheel.ref();
  return () => {
    if (isKept) wheel.unref();
    isKept = false;
    wheel.remove(entry);
  };
}

export interface WheelState {
  readonly wheels: Map<number, Wheel>;
  readonly wokeAt: number;
}

/** As exchangeState() of core/turn.ts. */
export function exchangeState(next?: WheelState): WheelState {
  const former = { wheels, wokeAt };
  wheels = next?.wheels ?? new Map();
  wokeAt = next?.wokeAt ?? 0;
  return former;
}

/** The number of running timers; 0 when no periodic work is left. For leak tests. */
export function runningWheels(): number {
  return wheels.size;
}
