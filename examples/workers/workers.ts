/** Worker threads, each of which runs one task at a time. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

export class Workers {
  readonly #threads: Worker[];
  readonly #idle: Worker[];
  #waiting: ((worker: Worker) => void)[] = [];

  constructor(program: URL, threads: number) {
    this.#threads = Array.from({ length: threads }, () => new Worker(program));
    this.#idle = [...this.#threads];
  }

  /** Settles with the answer of a worker to `task`. */
  async run(task: unknown): Promise<unknown> {
    const worker =
      this.#idle.pop() ?? (await new Promise<Worker>((resolve) => this.#waiting.push(resolve)));
    try {
      worker.postMessage(task);
      const [answer] = await once(worker, 'message');
      return answer;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#idle.push(worker);
      else next(worker);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((worker) => worker.terminate()));
  }
}
