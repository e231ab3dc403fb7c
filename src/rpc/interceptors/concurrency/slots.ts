/** Limits how many tasks run at the same time. */
import { Queue } from '../../../core/queue.js';

export class Slots {
  #free: number;
  readonly #waiting = new Queue<() => void>();

  /** `count`: how many tasks may run at the same time. */
  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves when the task may begin. Call release() when it has ended. */
  take(): Promise<void> {
    if (this.#free === 0) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#free--;
    return Promise.resolve();
  }

  /** A task has ended: its slot is free, or belongs to the task that has waited longest. */
  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
