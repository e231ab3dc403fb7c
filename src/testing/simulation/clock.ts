/** Virtual time: a queue of events by @sinonjs/fake-timers, which time jumps to one by one. */
import { gettyError } from '../../core/errors.js';

/** The version that this package is tested with. */
const FAKE_TIMERS = '15.5.0';
/**
 * The longest delay of the queue, in milliseconds. A longer one would fire at once; it is made of
 * several.
 */
const LONGEST_DELAY = 2 ** 31 - 1;
/**
 * Immediates that run at one instant; the next one runs a millisecond later. A program that polls
 * until some time has passed would never end otherwise.
 */
const IMMEDIATES_AT_ONCE = 1_000;

/** The part of a clock of @sinonjs/fake-timers that is used here. */
interface FakeClock {
  now: number;
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
  setImmediate(callback: () => void): unknown;
  clearImmediate(timer: unknown): void;
  next(): number;
}

/** An event that has not happened. */
export interface ScheduledEvent {
  cancel(): void;
}

export class VirtualClock {
  readonly #clock: FakeClock;
  /** The event that the clock has reached, until next() returns it. */
  #reached: (() => void) | undefined;
  #immediatesAt = 0;
  #immediates = 0;
  /** Events that have not happened. */
  pending = 0;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  /** Virtual milliseconds since the start. */
  get now(): number {
    return this.#clock.now;
  }

  /** Calls `callback` in `ms` milliseconds, after all events that are scheduled for that time. */
  schedule(ms: number, callback: () => void): ScheduledEvent {
    const state = { isOver: false, timer: undefined as unknown };
    const end = this.now + Math.max(0, ms);
    const start = (): void => {
      const left = end - this.now;
      state.timer = this.#clock.setTimeout(
        () => {
          if (left > LONGEST_DELAY) return start();
          state.isOver = true;
          this.#reach(callback);
        },
        Math.min(left, LONGEST_DELAY),
      );
    };
    start();
    return this.#handleOf(state, (timer) => this.#clock.clearTimeout(timer));
  }

  /** Calls `callback` at this instant, before the events of schedule(). */
  scheduleImmediate(callback: () => void): ScheduledEvent {
    if (this.#immediatesAt !== this.now) {
      this.#immediatesAt = this.now;
      this.#immediates = 0;
    }
    if (++this.#immediates > IMMEDIATES_AT_ONCE) return this.schedule(1, callback);
    const state = { isOver: false, timer: undefined as unknown };
    state.timer = this.#clock.setImmediate(() => {
      state.isOver = true;
      this.#reach(callback);
    });
    return this.#handleOf(state, (timer) => this.#clock.clearImmediate(timer));
  }

  #handleOf(
    state: { isOver: boolean; timer: unknown },
    clear: (timer: unknown) => void,
  ): ScheduledEvent {
    this.pending++;
    return {
      cancel: () => {
        if (state.isOver) return;
        state.isOver = true;
        this.pending--;
        clear(state.timer);
      },
    };
  }

  #reach(callback: () => void): void {
    this.pending--;
    // The queue would delay what the callback schedules for this instant, so next() returns it.
    this.#reached = callback;
  }

  /** Moves the time to the next event, and returns its callback. Undefined: there is no event. */
  next(): (() => void) | undefined {
    while (this.pending > 0 && this.#reached === undefined) this.#clock.next();
    const callback = this.#reached;
    this.#reached = undefined;
    return callback;
  }
}

/** Loads @sinonjs/fake-timers. Rejects with SIMULATION_FAILED if it is not installed. */
export async function createVirtualClock(): Promise<VirtualClock> {
  let loaded: { createClock(now: number): FakeClock };
  try {
    const module = await import('@sinonjs/fake-timers');
    loaded = (module.default ?? module) as unknown as typeof loaded;
  } catch (error) {
    throw gettyError(
      'SIMULATION_FAILED',
      `simulate() needs a package that is not installed; run: npm install --save-dev @sinonjs/fake-timers@${FAKE_TIMERS}`,
      error,
    );
  }
  return new VirtualClock(loaded.createClock(0));
}
