/** Worker processes. A worker that ends unexpectedly is started again. */
import type { ChildProcess } from 'node:child_process';

/** For all workers together, so that a fault in each new process does not restart for ever. */
const MAX_RESTARTS = 10;
/** Milliseconds. Longer than drainTimeout, 10 s, in which calls in flight finish. */
const STOP_TIMEOUT = 12_000;

export class Workers {
  readonly #fork: (name: string) => ChildProcess;
  readonly #running = new Set<ChildProcess>();
  #restarts = 0;
  #stopped: Promise<unknown> | undefined;

  constructor(fork: (name: string) => ChildProcess) {
    this.#fork = fork;
  }

  /** Settles with the address of the worker when it listens. */
  start(name: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#stopped) throw new Error('the workers are stopped');
      const child = this.#fork(name);
      this.#running.add(child);
      let isListening = false;
      child.once('message', (address: string) => {
        isListening = true;
        console.log(`${name} is process ${child.pid}, at ${address}`);
        resolve(address);
      });
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        this.#running.delete(child);
        const end = `${name} ended with ${signal ?? code}`;
        if (!isListening) reject(new Error(end));
        else if (!this.#stopped) void this.#restart(name, end);
      });
    });
  }

  /** Meanwhile the other workers handle the calls. */
  async #restart(name: string, end: string): Promise<void> {
    if (this.#restarts === MAX_RESTARTS)
      return console.log(`${end}, and stays so: there were ${MAX_RESTARTS} restarts`);
    this.#restarts++;
    console.log(`${end}, and is started again`);
    await this.start(name).catch((error) => this.#stopped || console.log(String(error)));
  }

  /** Asks all workers to end, and kills them after STOP_TIMEOUT. */
  async stop(): Promise<void> {
    this.#stopped ??= Promise.all([...this.#running].map(stopChild));
    await this.#stopped;
  }
}

function stopChild(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
    child.kill('SIGTERM');
  });
}
