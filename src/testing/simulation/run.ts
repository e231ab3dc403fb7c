/** One run of a simulation: takes events from the clock until the scenario is over. */
import { gettyError } from '../../core/errors.js';
import { badOption } from '../../core/options.js';
import { onAbort, reasonOf } from '../../core/signals.js';
import { startTimer } from '../../core/timers.js';
import { seededRandom } from '../random.js';
import { activeProcess, enterDriver, ownByDriver } from './context.js';
import { type Duration, formatTime, parseDuration } from './durations.js';
import { failureError, type UndoneCode } from './failure.js';
import { replacedTimers } from './globals/globals.js';
import { SimulatedHost } from './host.js';
import type { SimulatedNetwork } from './network/network.js';
import { type StackRecorder, stallReport } from './stall-report.js';
import type { Clock, Host, Simulation, SimulationResult } from './types.js';
import type { World } from './world.js';

/** Real milliseconds to wait for the scenario when no event is scheduled. */
const STALL_PATIENCE = 1_000;
/** The host on which the scenario itself runs. */
const SCENARIO_HOST = 'client';
const HOST_NAME = /^[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/;

const REPLACED_TIMERS =
  'replaced during the simulation, such as by fake timers; remove these, because a simulation has virtual time itself';

const { setImmediate: onNextRealTurn, setTimeout: afterRealTime } = globalThis;
const realNow = performance.now.bind(performance);

export type Scenario<T> = (simulation: Simulation) => T | Promise<T>;

/** When a simulation ends. Times are in virtual milliseconds. */
export interface End {
  /** The scenario must be done by then. */
  readonly limit: number;
  /** The name of the option that has set `limit`, for the message of a failure. */
  readonly limitedBy: string;
  /** How long the hosts run. Undefined: until the scenario is done. */
  readonly duration: number | undefined;
  /** Ends the simulation as failed when it aborts. */
  readonly signal: AbortSignal | undefined;
}

/** What has become of the scenario. */
type Outcome<T> = { readonly value: T } | undefined;

export class SimulationRun<T> {
  readonly #world: World;
  readonly #network: SimulatedNetwork;
  readonly #end: End;
  readonly #recorder: StackRecorder | undefined;
  readonly #hosts = new Map<string, SimulatedHost<unknown>>();
  #outcome: Outcome<T>;
  #isLimitOver = false;
  #isDurationOver = false;
  /** Events of the clock that end the simulation, and have not happened. */
  #ends = 0;
  #isAborted = false;
  #releaseSignal: (() => void) | undefined;
  /** When no event was found to be scheduled: a real time. */
  #stalledAt: number | undefined;
  #resolve: () => void = () => {};

  /** `recorder`: undefined without the option `stacks`. */
  constructor(
    world: World,
    network: SimulatedNetwork,
    end: End,
    recorder: StackRecorder | undefined,
  ) {
    this.#world = world;
    this.#network = network;
    this.#end = end;
    this.#recorder = recorder;
  }

  /** Resolves when the simulation is over. */
  start(scenario: Scenario<T>): Promise<void> {
    const { limit, duration, signal } = this.#end;
    this.#isAborted = signal?.aborted === true;
    if (signal !== undefined) this.#releaseSignal = onAbort(signal, this.#onAbort);
    this.#scheduleEnd(limit, () => {
      this.#isLimitOver = true;
    });
    if (duration !== undefined) {
      this.#scheduleEnd(duration, () => {
        this.#isDurationOver = true;
      });
    }
    const client = this.#addHost(SCENARIO_HOST, undefined) as SimulatedHost<unknown>;
    const simulation = this.#simulation();
    const process = client.process;
    const done = process?.enter(async () => scenario(simulation)) as Promise<T>;
    done.then(
      (value) => {
        this.#outcome = { value };
      },
      (error: unknown) => this.#world.fail('the scenario failed', error),
    );
    return new Promise((resolve) => {
      this.#resolve = resolve;
      this.#stepSoon();
    });
  }

  #scheduleEnd(ms: number, onEnd: () => void): void {
    this.#ends++;
    this.#world.schedule(ms, () => {
      this.#ends--;
      onEnd();
    });
  }

  /** The next step ends the simulation: this may be code of a simulated process. */
  readonly #onAbort = (): void => {
    this.#isAborted = true;
  };

  #stepSoon(): void {
    ownByDriver(onNextRealTurn(this.#step));
  }

  /** All promise callbacks of the last event have run. */
  readonly #step = (): void => {
    enterDriver();
    if (this.#isOver()) return this.#resolve();
    const isWaiting = this.#world.clock.pending > this.#ends;
    if (!isWaiting && this.#outcome === undefined) return this.#onStall();
    this.#stalledAt = undefined;
    try {
      this.#world.clock.next()?.();
    } catch (error) {
      this.#world.fail('the simulation itself failed', error);
    }
    this.#stepSoon();
  };

  #isOver(): boolean {
    if (this.#world.failure !== undefined) return true;
    const { limit, limitedBy, duration, signal } = this.#end;
    if (this.#isAborted) {
      const reason = `the signal has aborted at ${formatTime(this.#world.now)} of virtual time`;
      this.#failUndone('SIMULATION_ABORTED', reason, reasonOf(signal));
      return true;
    }
    if (this.#outcome !== undefined) return duration === undefined || this.#isDurationOver;
    if (!this.#isLimitOver) return false;
    const reason = `the scenario is not done after ${limit} virtual ms (${limitedBy})`;
    this.#failUndone('SIMULATION_TIMEOUT', reason);
    return true;
  }

  #failUndone(code: UndoneCode, reason: string, cause?: unknown): void {
    const report = stallReport(this.#hosts.values(), this.#recorder);
    const replaced = replacedTimers();
    const lines =
      replaced.length === 0
        ? [reason, report]
        : [reason, `${replaced.join(', ')}: ${REPLACED_TIMERS}`, report];
    this.#world.fail(code, gettyError(code, lines.join('\n'), cause));
  }

  /** Real work, such as the import of a module, may still continue the scenario. */
  #onStall(): void {
    this.#stalledAt ??= realNow();
    if (realNow() - this.#stalledAt > STALL_PATIENCE) {
      const reason = 'the scenario waits, and no timer, packet or action is scheduled';
      this.#failUndone('SIMULATION_STALLED', reason);
      return this.#resolve();
    }
    ownByDriver(afterRealTime(this.#step, 1));
  }

  #addHost<H>(name: string, start: (() => H | Promise<H>) | undefined): SimulatedHost<H> {
    const host = new SimulatedHost<H>(name, this.#network, start);
    this.#hosts.set(name, host as SimulatedHost<unknown>);
    return host;
  }

  #simulation(): Simulation {
    const world = this.#world;
    return {
      host: <H>(name: string, start?: () => H | Promise<H>): Host<H> => {
        if (typeof name !== 'string' || !HOST_NAME.test(name))
          throw badOption('name', name, 'letters, digits, dots and hyphens');
        if (this.#hosts.has(name)) throw badOption('name', name, 'a name that no other host has');
        if (start !== undefined && typeof start !== 'function')
          throw badOption('start', start, 'a function');
        return this.#addHost(name, start);
      },
      network: this.#network,
      clock: this.#clock(),
      random: seededRandom(world.seed, 'scenario'),
      trace(text) {
        world.trace.addOwn(activeProcess()?.host.name ?? SCENARIO_HOST, text);
      },
      fail: (error) => {
        const process = activeProcess();
        if (process === undefined) world.fail('fail() was called', error);
        else process.fail('called fail()', error);
      },
    };
  }

  #clock(): Clock {
    const world = this.#world;
    return {
      get now() {
        return world.now;
      },
      at: (time: Duration, action: () => unknown) => {
        const ms = parseDuration('time', time);
        if (ms < world.now) throw badOption('time', time, `at least ${world.now} ms`);
        if (typeof action !== 'function') throw badOption('action', action, 'a function');
        world.schedule(ms - world.now, () => this.#act(time, action));
      },
      async sleep(time: Duration) {
        const ms = parseDuration('time', time);
        // A timer of the running process, which waits while its host is paused.
        await new Promise<void>((resolve) => startTimer(resolve, ms));
      },
    };
  }

  #act(time: Duration, action: () => unknown): void {
    const failed = (error: unknown): void =>
      this.#world.fail(`the action at ${time} failed`, error);
    this.#hosts.get(SCENARIO_HOST)?.process?.dispatch(() => {
      Promise.resolve().then(action).catch(failed);
    });
  }

  stop(): void {
    this.#releaseSignal?.();
    for (const host of this.#hosts.values()) host.process?.kill();
  }

  /** Throws the failure, or returns the result. */
  result(): SimulationResult<T> {
    const { failure, seed, trace, now } = this.#world;
    if (failure !== undefined) throw failureError(this.#world, failure);
    return {
      value: (this.#outcome as { readonly value: T }).value,
      seed,
      duration: now,
      traceLines: trace.count,
      traceHash: trace.digest(),
    };
  }
}
