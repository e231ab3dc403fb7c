/** Measures the memory of processes again and again, and tells whether it grows. */
import type { Member } from './member.js';

/** Milliseconds between two measurements. */
const PERIOD = 10_000;
const MIB = 1024 * 1024;
/** How much more the last third of the time may have than the middle third. */
const FACTOR = 1.15;
const SUMMAND = 2;

/** Needs processes with the flag `--expose-gc`. */
export class MemoryWatch {
  readonly #members: readonly Member[];
  /** MiB after garbage collection, by the name of the process. */
  readonly #samples = new Map<string, number[]>();
  readonly #timer: NodeJS.Timeout;

  constructor(members: readonly Member[]) {
    this.#members = members;
    this.#timer = setInterval(() => void this.#measure(), PERIOD);
  }

  async #measure(): Promise<void> {
    for (const member of this.#members) {
      const { heapUsed, external } = await member.command<NodeJS.MemoryUsage>('memory');
      const own = this.#samples.get(member.name) ?? [];
      own.push((heapUsed + external) / MIB);
      this.#samples.set(member.name, own);
    }
  }

  /** Ends the measurements. */
  stop(): { problems: string[]; remarks: string[] } {
    clearInterval(this.#timer);
    const problems: string[] = [];
    const remarks: string[] = [];
    for (const [name, samples] of this.#samples) {
      const third = Math.floor(samples.length / 3);
      const mean = (values: readonly number[]): number =>
        values.reduce((sum, each) => sum + each, 0) / values.length;
      const [middle, last] = [mean(samples.slice(third, 2 * third)), mean(samples.slice(-third))];
      const text = `memory of ${name} after garbage collection: ${middle.toFixed(1)} MiB in the middle third of the time, ${last.toFixed(1)} MiB in the last third`;
      if (third === 0) problems.push(`${name} was measured ${samples.length} times only`);
      else if (last > middle * FACTOR + SUMMAND) problems.push(text);
      else remarks.push(text);
    }
    return { problems, remarks };
  }
}
