/** The sums of many simulated seeds, and their report. */
import { createHash } from 'node:crypto';
import { FAULTS, type FaultName } from '../faults.js';
import type { SeedResult } from './seed-pool.js';

/** What follows the kind in the keys of ClusterReport.counts. */
const OUTCOME = / (?=[^ ]+$)/;

/** Kinds of calls that are named. */
const MAX_SHOWN = 5;

export class Summary {
  readonly #hashes = new Map<number, string>();
  readonly #faults = new Map<FaultName, number>();
  /** The kinds of calls, and how many of each have succeeded. */
  readonly #kinds = new Map<string, number>();
  readonly #failed: number[] = [];
  #calls = 0;
  #succeeded = 0;
  #violations = 0;
  /** Virtual milliseconds. */
  #duration = 0;
  #longestRecovery = 0;

  get seeds(): number {
    return this.#hashes.size + this.#failed.length;
  }

  get failed(): readonly number[] {
    return this.#failed;
  }

  /** How many violations there were, and the seeds that have them. */
  get violations(): string {
    const seeds = this.#failed.length > 0 ? `, of the seeds ${this.#failed.join(', ')}` : '';
    return `${this.#violations}${seeds}`;
  }

  /** Returns what the seed has violated. Empty: nothing. */
  add(result: SeedResult): readonly string[] {
    if ('error' in result) {
      this.#failed.push(result.seed);
      this.#violations++;
      return [result.error];
    }
    const { seed, report } = result;
    const { violations } = report;
    this.#calls += report.calls;
    for (const [outcome, count] of Object.entries(report.counts)) {
      const [kind] = outcome.split(OUTCOME) as [string];
      const succeeded = outcome.endsWith(' OK') ? count : 0;
      this.#succeeded += succeeded;
      this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + succeeded);
    }
    for (const [name, count] of Object.entries(report.faults))
      this.#faults.set(name as FaultName, (this.#faults.get(name as FaultName) ?? 0) + count);
    this.#duration += report.duration;
    this.#longestRecovery = Math.max(this.#longestRecovery, report.recovery);
    this.#violations += violations.length;
    if (violations.length > 0) this.#failed.push(seed);
    else this.#hashes.set(seed, report.traceHash);
    return violations;
  }

  /**
   * A hash of the traces of all seeds without a violation. Two machines that get the same one have
   * run the same events of these seeds.
   */
  get #hash(): string {
    const hash = createHash('sha256');
    for (const [seed, trace] of [...this.#hashes].sort(([a], [b]) => a - b))
      hash.update(`${seed} ${trace}\n`);
    return hash.digest('hex');
  }

  /** `elapsed`: real milliseconds. */
  lines(elapsed: number): string[] {
    const faults = FAULTS.map((name) => `${name} ${this.#faults.get(name) ?? 0}`);
    const total = [...this.#faults.values()].reduce((sum, count) => sum + count, 0);
    const failing = [...this.#kinds].filter(([, succeeded]) => succeeded === 0);
    const kinds =
      failing.length === 0
        ? 'each of which has succeeded'
        : `without a success: ${failing.length <= MAX_SHOWN ? failing.map(([kind]) => kind).join('; ') : failing.length}`;
    return [
      `seeds           ${this.seeds}`,
      `calls           ${this.#calls}, ${this.#succeeded} of them succeeded`,
      `kinds of calls  ${this.#kinds.size}, ${kinds}`,
      `faults          ${total}: ${faults.join(', ')}`,
      `virtual time    ${(this.#duration / 3_600_000).toFixed(2)} h`,
      `real time       ${(elapsed / 1_000).toFixed(1)} s`,
      `recovery      at most ${(this.#longestRecovery / 1_000).toFixed(1)} s`,
      `trace hash      ${this.#hash}`,
      `violations      ${this.violations}`,
    ];
  }
}
