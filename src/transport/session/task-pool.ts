/** Limits how many handlers run at once. A session stops reading while its pool is full. */
import { gettyError } from '../../core/errors.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { Queue } from '../../core/queue.js';

/** Options of taskPool(). */
export interface TaskPoolOptions {
  /** The most tasks that run at once. Default: 16. */
  concurrency?: number | undefined;
  /** The most tasks that wait. Default: 256. */
  queue?: number | undefined;
}

const NAMES = { concurrency: true, queue: true } satisfies NamesOf<TaskPoolOptions>;

export const TASK_POOL_DEFAULTS = { concurrency: 16, queue: 256 } satisfies TaskPoolOptions;

/**
 * Runs tasks with a limit. One pool may serve many endpoints. You can implement it yourself, for
 * example on worker threads.
 */
export interface TaskPool {
  /** True when no further task may wait. Sessions stop reading then. */
  readonly full: boolean;
  /** Resolves when the pool is not full, in the order of the calls. */
  room(): Promise<void>;
  /**
   * Runs `task` as soon as fewer tasks run than the limit, and settles as the task does. Rejects
   * with POOL_FULL when the pool is full.
   */
  run<T>(task: () => T | Promise<T>): Promise<T>;
}

class BoundedPool implements TaskPool {
  readonly #concurrency: number;
  readonly #limit: number;
  #running = 0;
  readonly #waiting = new Queue<() => void>();
  /** Called when the pool is not full. */
  readonly #roomWaiters = new Queue<() => void>();

  constructor({ concurrency, queue }: typeof TASK_POOL_DEFAULTS) {
    this.#concurrency = concurrency;
    this.#limit = queue;
  }

  get full(): boolean {
    return this.#running >= this.#concurrency && this.#waiting.length >= this.#limit;
  }

  room(): Promise<void> {
    return this.full
      ? new Promise((resolve) => this.#roomWaiters.push(resolve))
      : Promise.resolve();
  }

  async run<T>(task: () => T | Promise<T>): Promise<T> {
    if (typeof task !== 'function') throw badOption('task', task, 'a function');
    if (this.full) {
      throw gettyError(
        'POOL_FULL',
        `the pool is full; tasks running: ${this.#running}, waiting: ${this.#waiting.length}`,
      );
    }
    if (this.#running >= this.#concurrency)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await task();
    } finally {
      // The next task gets the place at once, before a task that arrives meanwhile.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
      this.#wake();
    }
  }

  /** Wakes one waiter after another, because the first one may fill the pool again. */
  #wake(): void {
    if (this.full) return;
    const resolve = this.#roomWaiters.shift();
    if (resolve === undefined) return;
    resolve();
    queueMicrotask(() => this.#wake());
  }
}

/** Creates a pool for the option `taskPool`. Throws BAD_OPTION. */
export function taskPool(options?: TaskPoolOptions): TaskPool {
  checkNames('taskPool()', options, NAMES);
  return new BoundedPool(
    withDefaults(TASK_POOL_DEFAULTS, options, {
      concurrency: [1, 1e6, 'integer'],
      queue: [0, 1e6, 'integer'],
    }),
  );
}
