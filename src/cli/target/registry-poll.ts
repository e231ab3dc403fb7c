/** Reads the whole list of a registry again and again. */
import { messageOf } from '../../core/errors.js';
import { untilAborted } from '../../core/signals.js';
import { pause } from '../../core/timers.js';
import type { Registry, ServiceNode } from '../../micro/index.js';

/**
 * The lists of a registry, one for each `interval` milliseconds, until `signal` aborts.
 * Registry.watch() needs the name of a service, so it does not show new services. While the
 * registry is away, there are no lists, and `report` is called once.
 */
export class RegistryPoll implements AsyncIterable<readonly ServiceNode[]> {
  readonly #registry: Registry;
  readonly #interval: number;
  readonly #signal: AbortSignal;
  readonly #report: (text: string) => void;
  #isAway = false;

  constructor(
    registry: Registry,
    interval: number,
    signal: AbortSignal,
    report: (text: string) => void,
  ) {
    this.#registry = registry;
    this.#interval = interval;
    this.#signal = signal;
    this.#report = report;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<readonly ServiceNode[]> {
    while (await pause(this.#interval, this.#signal)) {
      const nodes = await this.#list();
      if (nodes !== undefined && !this.#signal.aborted) yield nodes;
    }
  }

  async #list(): Promise<readonly ServiceNode[] | undefined> {
    try {
      const nodes = await untilAborted(this.#registry.list(), this.#signal);
      if (this.#isAway) this.#report('the registry answers again');
      this.#isAway = false;
      return nodes;
    } catch (error) {
      if (this.#signal.aborted) return undefined;
      if (!this.#isAway)
        this.#report(`${messageOf(error)}; the last list is kept, and the registry is asked again`);
      this.#isAway = true;
      return undefined;
    }
  }
}
