/** Worker processes: each is started again when it ends by itself. */
import type { ChildProcess } from 'node:child_process';

/** Of all workers together: a fault that kills each new process ends here too. */
const RESTARTS = 10;
/** Milliseconds. Calls under way have drainTimeout, 10 s, to finish. */
const STOP_LIMIT = 12_000;

export class Workers {
  readonly #fork: (name: string) => ChildProcess;
  readonly #living = new Set<ChildProcess>();
  #restarts = 0;
  #stopped: Promise<unknown> | undefined;

  constructor(fork: (name: string) => ChildProcess) {
    this.#fork = fork;
  }

  /** Settles with the address that the worker listens at. */
  start(name: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#stopped) throw new Error('the workers are stopped');
      const child = this.#fork(name);
      this.#living.add(child);
      let listens = false;
      child.once('message', (address: string) => {
        listens = true;
        console.log(`${name} is process ${child.pid}, at ${address}`);
        resolve(address);
      });
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        this.#living.delete(child);
        const end = `${name} ended with ${signal ?? code}`;
        if (!listens) reject(new Error(end));
        else if (!this.#stopped) void this.#restart(name, end);
      });
    });
  }

  /** A worker that is gone leaves its core idle; its calls are done by the others meanwhile. */
  async #restart(name: string, end: string): Promise<void> {
    if (this.#restarts === RESTARTS)
      return console.log(`${end}, and stays so: there were ${RESTARTS} restarts`);
    this.#restarts++;
    console.log(`${end}, and is started again`);
    await this.start(name).catch((error) => this.#stopped || console.log(String(error)));
  }

  /** Ask all to end, and end those that do not. */
  async stop(): Promise<void> {
    this.#stopped ??= Promise.all([...this.#living].map(stopChild));
    await this.#stopped;
  }
}

function stopChild(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
    child.kill('SIGTERM');
  });
}
