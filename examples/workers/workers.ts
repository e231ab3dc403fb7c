/** Worker threads that take one task each at a time. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

export class Workers {
  readonly #all: Worker[];
  readonly #free: Worker[];
  #waiting: ((worker: Worker) => void)[] = [];

  constructor(program: URL, threads: number) {
    this.#all = Array.from({ length: threads }, () => new Worker(program));
    this.#free = [...this.#all];
  }

  /** Settles with what the worker answers to `task`. */
  async run(task: unknown): Promise<unknown> {
    const worker =
      this.#free.pop() ?? (await new Promise<Worker>((resolve) => this.#waiting.push(resolve)));
    try {
      worker.postMessage(task);
      const [answer] = await once(worker, 'message');
      return answer;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(worker);
      else next(worker);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((worker) => worker.terminate()));
  }
}
