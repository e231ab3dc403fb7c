/** Random calls of one consumer host. */
import type { Consumer } from '../../src/micro/index.js';
import type { Simulation } from '../../src/testing/simulation/index.js';
import { type ConsumerHost, DATAGRAMS } from './cluster.js';
import type { History } from './history.js';
import type { InjectedBug } from './injected-bugs.js';
import { CODECS, VERSIONS } from './services.js';
import { type Making, WORKS, type Work } from './works.js';

/** Milliseconds. */
const LONGEST_TIMEOUT = 3_000;
const TIMEOUT_AFTER_FAULTS = 20_000;

/** The calls that the consumer with this name can make. */
function worksOf(consumer: string): readonly Work[] {
  return consumer === DATAGRAMS ? WORKS.filter(({ isStream }) => isStream !== true) : WORKS;
}

export class Workload {
  readonly #simulation: Simulation;
  readonly #history: History;
  readonly #host: string;
  readonly #bug: InjectedBug;

  constructor(simulation: Simulation, history: History, host: string, bug: InjectedBug) {
    this.#simulation = simulation;
    this.#history = history;
    this.#host = host;
    this.#bug = bug;
  }

  /** Makes calls until the time `end`. Call it on the host of the consumer. */
  async run({ consumers }: ConsumerHost, end: number): Promise<void> {
    const { clock, random } = this.#simulation;
    while (clock.now < end) {
      const [strategy, consumer] = random.pick(Object.entries(consumers));
      void this.#callAtRandom(random.pick(worksOf(strategy)), strategy, consumer);
      await clock.sleep(random.integer(10, 400));
    }
  }

  async #callAtRandom(work: Work, strategy: string, consumer: Consumer): Promise<void> {
    const { random } = this.#simulation;
    const timeout = random.integer(200, LONGEST_TIMEOUT);
    const version = random.pick(VERSIONS);
    const codec = random.pick(CODECS);
    const isCancelled = random.chance(0.1);
    const controller = new AbortController();
    const options = { timeout, signal: controller.signal };
    const kind = `${work.name}, ${codec}, ${strategy}${isCancelled ? ', cancelled' : ''}`;
    let cancelledAfter: number | undefined;
    if (isCancelled) {
      cancelledAfter = random.integer(0, 200);
      setTimeout(() => controller.abort(), cancelledAfter);
    }
    const limit = Math.min(timeout, cancelledAfter ?? timeout);
    await this.#call(work, { consumer, version, codec, options }, kind, limit);
  }

  /**
   * Makes a call and records it. `limit`: the ms until its outcome. Returns the error, if it fails.
   */
  async #call(
    work: Work,
    making: Omit<Making, 'id'>,
    kind: string,
    limit: number,
    isOneway = work.isOneway,
  ): Promise<unknown> {
    const { isIdempotent } = work;
    const call = this.#history.begin({ kind, host: this.#host, isIdempotent, isOneway }, limit);
    const make = (id = call.id): Promise<string> => work.call({ ...making, id });
    try {
      const answer = await (this.#bug.call?.(make, call, this.#simulation.clock) ?? make());
      if (answer !== work.expected(call.id)) this.#history.wrongAnswer(call, answer);
      this.#history.end(call);
      return undefined;
    } catch (error) {
      this.#history.end(call, error);
      return error;
    }
  }

  /** Calls of each kind. Returns what failed. Call it on the host of the consumer. */
  async runAll({ consumers }: ConsumerHost): Promise<string[]> {
    const failures: string[] = [];
    const timeout = TIMEOUT_AFTER_FAULTS;
    const callAll = async (strategy: string, consumer: Consumer): Promise<void> => {
      for (const work of worksOf(strategy)) {
        // Each kind of call in one of the four combinations, which the seed selects.
        const { random } = this.#simulation;
        const [version, codec] = [random.pick(VERSIONS), random.pick(CODECS)];
        const kind = `${work.name}, ${codec}, ${strategy}, after the faults`;
        const making = { consumer, version, codec, options: { timeout } };
        // Without faults a oneway call is not lost.
        const error = await this.#call(work, making, kind, timeout, false);
        if (error !== undefined) failures.push(`${kind} of ${this.#host}: ${error}`);
      }
    };
    await Promise.all(Object.entries(consumers).map((entry) => callAll(...entry)));
    return failures;
  }
}
