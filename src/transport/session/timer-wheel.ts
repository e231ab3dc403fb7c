/**
 * The one ticker: everything periodic hangs on it. There is one timer for each distinct period, and
 * the tasks of a period are spread over it, so that ten thousand sessions do not send their
 * heartbeats in the same instant.
 */
import { startInterval } from '../../core/timers.js';
import { now } from './flush-scheduler.js';

/**
 * Something periodic. It is its own entry in the ticker, so ten thousand of them cost no closures.
 */
export interface Tickable {
  /** Must not throw. */
  tick(): void;
}

const SLICES = 64;
const SHORTEST_SLICE = 5;
/**
 * A timer that is so much later than its period shows that this process stood still: the machine
 * was suspended, or one task took long. Milliseconds.
 */
const STANDSTILL = 2_000;
const wheels = new Map<number, Wheel>();
let wokeAt = 0;

/**
 * When this process last went on after it had stood still, by now(); 0: it never did, as far as a
 * ticker could see. The silence of a peer before that says nothing about the peer: it may have
 * stood still too.
 */
export function lastWake(): number {
  return wokeAt;
}

// Ticks come after the poll phase: what has already arrived counts before anybody is found late or
// silent.
const afterPoll: (task: () => void) => void =
  globalThis.setImmediate ?? ((task: () => void) => task());

class Wheel {
  readonly #period: number;
  readonly #buckets: Set<Tickable>[];
  #cursor = 0;
  #size = 0;
  readonly #timer: NodeJS.Timeout;
  readonly #slice: number;
  #turnedAt = Math.ceil(now());

  constructor(period: number) {
    this.#period = period;
    const slices = Math.max(1, Math.min(SLICES, Math.floor(period / SHORTEST_SLICE)));
    this.#buckets = Array.from({ length: slices }, () => new Set());
    this.#slice = Math.ceil(period / slices);
    this.#timer = startInterval(() => afterPoll(this.#turn), period / slices);
    this.#timer.unref?.();
  }

  /** The first tick comes a whole period from now, up to one slice less. */
  add(tickable: Tickable): void {
    const slices = this.#buckets.length;
    (this.#buckets[(this.#cursor + slices - 1) % slices] as Set<Tickable>).add(tickable);
    this.#size++;
  }

  remove(tickable: Tickable): void {
    if (!this.#buckets.some((bucket) => bucket.delete(tickable))) return;
    this.#size--;
    if (this.#size > 0) return;
    clearInterval(this.#timer);
    wheels.delete(this.#period);
  }

  readonly #turn = (): void => {
    const time = Math.ceil(now());
    if (time - this.#turnedAt > this.#slice + STANDSTILL) wokeAt = time;
    this.#turnedAt = time;
    const bucket = this.#buckets[this.#cursor] as Set<Tickable>;
    this.#cursor = (this.#cursor + 1) % this.#buckets.length;
    // A copy: what is added here meanwhile is due a period from now. What is removed is not called
    // any more.
    for (const tickable of [...bucket]) if (bucket.has(tickable)) tickable.tick();
  };
}

/**
 * Call `tickable.tick()` every `period` ms until it is removed. Add it once. Does not keep a
 * process alive.
 */
export function addTick(period: number, tickable: Tickable): void {
  let wheel = wheels.get(period);
  if (wheel === undefined) {
    wheel = new Wheel(period);
    wheels.set(period, wheel);
  }
  wheel.add(tickable);
}

/** Undo addTick(); nothing happens when it is not there. */
export function removeTick(period: number, tickable: Tickable): void {
  wheels.get(period)?.remove(tickable);
}

/**
 * Call `task` every `period` ms until the returned function is called. `task` must not throw. Does
 * not keep a process alive.
 */
export function every(period: number, task: () => void): () => void {
  // An entry of its own, so that a function may be there twice.
  const entry: Tickable = { tick: task };
  addTick(period, entry);
  return () => removeTick(period, entry);
}

/** How many periods have a running timer; 0 when nothing periodic is left. For leak tests. */
export function runningWheels(): number {
  return wheels.size;
}
