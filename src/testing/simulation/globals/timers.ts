/** The timers of simulated processes, as those of Node.js. */
import { AsyncResource } from 'node:async_hooks';
import type { ScheduledEvent } from '../clock.js';
import type { SimulatedProcess } from '../context.js';

/** As in Node.js: a longer delay becomes 1. */
const LONGEST_DELAY = 2 ** 31 - 1;

let lastId = 0;

/** A timer or an immediate. It belongs to the process whose code creates it. */
export class VirtualTimer extends AsyncResource {
  readonly #process: SimulatedProcess;
  readonly #callback: () => void;
  /** Milliseconds. Undefined: an immediate. */
  readonly #ms: number | undefined;
  readonly #isRepeated: boolean;
  readonly #id = ++lastId;
  #event: ScheduledEvent | undefined;
  /** Virtual milliseconds since the start: when the timer fires. Meaningless after that. */
  due = 0;
  #hasRef = true;

  /** Call it in code of `process`. */
  constructor(
    process: SimulatedProcess,
    callback: () => void,
    ms: number | undefined,
    isRepeated = false,
  ) {
    super(ms === undefined ? 'Immediate' : 'Timeout');
    this.#process = process;
    this.#callback = callback;
    this.#ms = ms === undefined ? undefined : delayOf(ms);
    this.#isRepeated = isRepeated;
    this.#start();
  }

  #start(): void {
    const { world, isDead, timers } = this.#process;
    if (isDead) return;
    this.due = world.now + (this.#ms ?? 0);
    const fire = (): void => this.#process.dispatch(this.#call, this);
    this.#event =
      this.#ms === undefined ? world.clock.scheduleImmediate(fire) : world.schedule(this.#ms, fire);
    timers.set(this.#id, this);
  }

  readonly #call = (): void => {
    // It may have been cancelled while its process was paused.
    if (this.#process.timers.get(this.#id) !== this) return;
    if (this.#isRepeated) this.#start();
    else this.#process.timers.delete(this.#id);
    this.#callback();
  };

  cancel(): void {
    this.#event?.cancel();
    this.#event = undefined;
    this.#process.timers.delete(this.#id);
  }

  close(): this {
    this.cancel();
    return this;
  }

  refresh(): this {
    const { timers } = this.#process;
    // As in Node.js, a timer that has fired starts again, and one that was cancelled does not.
    if (timers.has(this.#id) || this.#event !== undefined) {
      this.#event?.cancel();
      this.#start();
    }
    return this;
  }

  ref(): this {
    this.#hasRef = true;
    return this;
  }

  unref(): this {
    this.#hasRef = false;
    return this;
  }

  hasRef(): boolean {
    return this.#hasRef;
  }

  [Symbol.toPrimitive](): number {
    return this.#id;
  }

  [Symbol.dispose](): void {
    this.cancel();
  }
}

function delayOf(ms: number): number {
  const delay = Number(ms);
  return delay >= 1 && delay <= LONGEST_DELAY ? Math.trunc(delay) : 1;
}
