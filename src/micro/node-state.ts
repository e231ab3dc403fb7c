/** What a consumer knows of one node from its own calls. */
import type { NodeHealth } from './ejection.js';
import type { NodeLoad } from './types.js';

/** Milliseconds: a latency counts for less and less, and after about this time for a third. */
const MEMORY = 2_000;

export class NodeState implements NodeLoad {
  /** When it came; -Infinity: it was there before us. An instant of performance.now(). */
  readonly since: number;
  readonly health: NodeHealth | undefined;
  inFlight = 0;
  #latency = 0;
  #at = 0;

  constructor(since: number, health: NodeHealth | undefined) {
    this.since = since;
    this.health = health;
  }

  /** A mean that later calls count for more in. It falls while there are none, so that a node which was slow is tried again. */
  get latency(): number {
    return this.#latency === 0 ? 0 : this.#latency * Math.exp((this.#at - performance.now()) / MEMORY);
  }

  begin(): void {
    this.inFlight++;
    this.health?.begin();
  }

  /** It is sent, and nobody will know more of it. */
  leave(): void {
    this.inFlight--;
    this.health?.unknown();
  }

  /** `ms`: undefined where it says nothing of the node, as of a stream. */
  end(ms: number | undefined, error: unknown): void {
    this.inFlight--;
    this.health?.end(error);
    // An error may come quicker than an answer; that makes no good node.
    if (ms !== undefined && (error === undefined || ms > this.#latency)) this.#observe(ms);
  }

  #observe(ms: number): void {
    const now = performance.now();
    const kept = this.#latency === 0 ? 0 : Math.exp((this.#at - now) / MEMORY);
    // Never 0, which is: not known.
    this.#latency = Math.max(Number.MIN_VALUE, this.#latency * kept + ms * (1 - kept));
    this.#at = now;
  }
}
