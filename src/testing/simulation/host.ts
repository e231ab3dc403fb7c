/** A host of a simulation: a name on the network, and a process that can crash and restart. */
import { gettyError } from '../../core/errors.js';
import { badOption } from '../../core/options.js';
import { SimulatedProcess } from './context.js';
import { type Duration, parseDuration } from './durations.js';
import type { NetworkHost, SimulatedNetwork } from './network/network.js';
import type { Host } from './types.js';

/** A promise of run() or ready() that has not settled. */
interface Waiting {
  reject(error: Error): void;
}

export class SimulatedHost<T> implements Host<T> {
  readonly name: string;
  /** Milliseconds that the date of this host is ahead of the date of the simulation. */
  clockOffset = 0;
  readonly #network: SimulatedNetwork;
  readonly #place: NetworkHost;
  readonly #start: (() => T | Promise<T>) | undefined;
  #process: SimulatedProcess | undefined;
  #ready: Promise<T> | undefined;
  readonly #waiting = new Set<Waiting>();

  constructor(name: string, network: SimulatedNetwork, start: (() => T | Promise<T>) | undefined) {
    this.name = name;
    this.#network = network;
    this.#start = start;
    this.#place = network.addHost(name);
    this.#boot('start');
  }

  get state(): 'running' | 'paused' | 'crashed' {
    if (this.#process === undefined) return 'crashed';
    return this.#process.isPaused ? 'paused' : 'running';
  }

  /** The present process. Undefined: the host is down. */
  get process(): SimulatedProcess | undefined {
    return this.#process;
  }

  #boot(event: string): void {
    const { world } = this.#network;
    world.trace.add(this.name, event);
    const process = new SimulatedProcess(world, this);
    this.#process = process;
    this.#place.process = process;
    this.#place.isUp = true;
    this.#place.ports.clear();
    const start = this.#start;
    const ready = process.enter(async () => start?.() as T);
    this.#ready = ready;
    ready.catch((error: unknown) => {
      if (!process.isDead) world.fail(`the start of host ${this.name} failed`, error);
    });
  }

  #downError(): Error {
    return gettyError('HOST_DOWN', `host ${this.name} has crashed`);
  }

  /** Settles as `promise` does, or rejects when the host crashes. */
  #untilCrash<R>(promise: Promise<R>): Promise<R> {
    return new Promise((resolve, reject) => {
      const waiting = { reject };
      this.#waiting.add(waiting);
      const settle = <A>(act: (value: A) => void) => {
        return (value: A): void => {
          if (this.#waiting.delete(waiting)) act(value);
        };
      };
      promise.then(settle(resolve), settle(reject));
    });
  }

  async ready(): Promise<T> {
    if (this.#process === undefined) throw this.#downError();
    return this.#untilCrash(this.#ready as Promise<T>);
  }

  async run<R>(task: () => R | Promise<R>): Promise<R> {
    if (typeof task !== 'function') throw badOption('task', task, 'a function');
    const process = this.#process;
    if (process === undefined) throw this.#downError();
    return this.#untilCrash(
      new Promise<R>((resolve, reject) => {
        process.world.schedule(0, () =>
          process.dispatch(() => {
            Promise.resolve().then(task).then(resolve, reject);
          }),
        );
      }),
    );
  }

  crash(): void {
    this.#place.isUp = false;
    this.#endProcess('crash');
  }

  kill(): void {
    this.#endProcess('kill');
  }

  #endProcess(event: 'crash' | 'kill'): void {
    const process = this.#process;
    if (process === undefined) return;
    this.#network.world.trace.add(this.name, event);
    this.#process = undefined;
    this.#place.process = undefined;
    this.#place.ports.clear();
    process.kill(event === 'kill');
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(this.#downError());
  }

  restart(): void {
    this.crash();
    this.#boot('restart');
  }

  pause(): void {
    if (this.#process === undefined || this.#process.isPaused) return;
    this.#network.world.trace.add(this.name, 'pause');
    this.#process.isPaused = true;
  }

  resume(): void {
    if (this.#process === undefined || !this.#process.isPaused) return;
    this.#network.world.trace.add(this.name, 'resume');
    this.#process.resume();
  }

  jumpClock(by: Duration, direction: 'forward' | 'backward' = 'forward'): void {
    if (direction !== 'forward' && direction !== 'backward')
      throw badOption('direction', direction, '"forward" or "backward"');
    const ms = parseDuration('by', by);
    this.clockOffset += direction === 'forward' ? ms : -ms;
    this.#network.world.trace.add(this.name, `clock ${direction} ${ms} ms`);
  }
}
