/**
 * Runs handlers no more than so many at once. The session that fills it waits, and so does its
 * peer.
 */
import { gettyError } from '../../core/errors.js';
import { checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { Queue } from '../../core/queue.js';

export interface TaskPoolOptions {
  /** Tasks that run at once. */
  concurrency?: number | undefined;
  /** Tasks that wait. */
  queue?: number | undefined;
}

const NAMES = { concurrency: true, queue: true } satisfies NamesOf<TaskPoolOptions>;

export const TASK_POOL_DEFAULTS = { concurrency: 16, queue: 256 } satisfies TaskPoolOptions;

/**
 * One pool may serve many endpoints. Worker threads of the user's own fit, if they keep these
 * promises.
 */
export interface TaskPool {
  /** True when no task may wait any more. Sessions stop reading then. */
  readonly full: boolean;
  /** Settles when it is not full; whoever waits longest is first. */
  room(): Promise<void>;
  /**
   * Run a task when there is a place for it; settles as the task does. Rejects with POOL_FULL when
   * it may not even wait.
   */
  run<T>(task: () => T | Promise<T>): Promise<T>;
}

class BoundedPool implements TaskPool {
  readonly #concurrency: number;
  readonly #limit: number;
  #running = 0;
  readonly #waiting = new Queue<() => void>();
  readonly #rooms = new Queue<() => void>();

  constructor({ concurrency, queue }: typeof TASK_POOL_DEFAULTS) {
    this.#concurrency = concurrency;
    this.#limit = queue;
  }

  get full(): boolean {
    return this.#running >= this.#concurrency && this.#waiting.length >= this.#limit;
  }

  room(): Promise<void> {
    return this.full ? new Promise((resolve) => this.#rooms.push(resolve)) : Promise.resolve();
  }

  async run<T>(task: () => T | Promise<T>): Promise<T> {
    if (this.full) {
      throw gettyError(
        'POOL_FULL',
        `the pool runs ${this.#running} tasks and ${this.#waiting.length} wait: as many as it may`,
      );
    }
    if (this.#running >= this.#concurrency)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await task();
    } finally {
      // The place goes straight to the next, so that nobody who comes in between takes it.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
      this.#wake();
    }
  }

  /**
   * One after the other, for whoever is first may fill it again: a thousand sessions must not wake
   * for one place.
   */
  #wake(): void {
    if (this.full) return;
    const resolve = this.#rooms.shift();
    if (resolve === undefined) return;
    resolve();
    queueMicrotask(() => this.#wake());
  }
}

/** A pool for the `taskPool` option. Throws BAD_OPTION. */
export function taskPool(options?: TaskPoolOptions): TaskPool {
  checkNames('taskPool()', options, NAMES);
  return new BoundedPool(
    withDefaults(TASK_POOL_DEFAULTS, options, { concurrency: [1, 1e6], queue: [0, 1e6] }),
  );
}
