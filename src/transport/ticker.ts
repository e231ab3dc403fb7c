/**
 * The one ticker: everything periodic hangs on it. There is one timer for each distinct period, and the tasks of a
 * period are spread over it, so that ten thousand sessions do not send their heartbeats in the same instant.
 */

type Task = () => void;

const SLICES = 64;
const SHORTEST_SLICE = 5;
const wheels = new Map<number, Wheel>();
// Tasks run after the poll phase: what has already arrived counts before anybody is found late or silent.
const afterPoll: (task: Task) => void = globalThis.setImmediate ?? ((task: Task) => task());

class Wheel {
  readonly #period: number;
  readonly #buckets: Set<{ readonly task: Task }>[];
  #cursor = 0;
  #size = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(period: number) {
    this.#period = period;
    const slices = Math.max(1, Math.min(SLICES, Math.floor(period / SHORTEST_SLICE)));
    this.#buckets = Array.from({ length: slices }, () => new Set());
    this.#timer = setInterval(() => afterPoll(this.#turn), period / slices);
    this.#timer.unref?.();
  }

  /** The first call comes a whole period from now, up to one slice less. */
  add(task: Task): () => void {
    const slices = this.#buckets.length;
    const bucket = this.#buckets[(this.#cursor + slices - 1) % slices] as Set<{ readonly task: Task }>;
    // An entry of its own, so that a function may be there twice.
    const entry = { task };
    bucket.add(entry);
    this.#size++;
    return () => {
      if (!bucket.delete(entry)) return;
      this.#size--;
      if (this.#size === 0) {
        clearInterval(this.#timer);
        wheels.delete(this.#period);
      }
    };
  }

  readonly #turn = (): void => {
    const bucket = this.#buckets[this.#cursor] as Set<{ readonly task: Task }>;
    this.#cursor = (this.#cursor + 1) % this.#buckets.length;
    // A copy: what a task adds here is due a period from now. What a task cancels is not called any more.
    for (const entry of [...bucket]) if (bucket.has(entry)) entry.task();
  };
}

/** Call `task` every `period` ms until the returned function is called. A task must not throw. Does not keep a process alive. */
export function every(period: number, task: Task): () => void {
  let wheel = wheels.get(period);
  if (wheel === undefined) {
    wheel = new Wheel(period);
    wheels.set(period, wheel);
  }
  return wheel.add(task);
}

/** How many periods have a running timer; 0 when nothing periodic is left. For leak tests. */
export function runningWheels(): number {
  return wheels.size;
}

let current = 0;
let fresh = false;
const expire = (): void => {
  fresh = false;
};

/**
 * Monotonic milliseconds, read from the system once per turn of the event loop: the hot path asks for it per call.
 */
export function now(): number {
  if (fresh) return current;
  current = performance.now();
  if (globalThis.setImmediate !== undefined) {
    fresh = true;
    setImmediate(expire);
  }
  return current;
}
