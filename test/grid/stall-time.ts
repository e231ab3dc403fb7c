/** How long a process did not run, between two times. */

export class StallTime {
  readonly #begins: readonly number[];
  readonly #ends: readonly number[];
  /** The sum of the first stalls, by their number. */
  readonly #sums: number[] = [0];

  /** `stalls`: begin and end of each, in milliseconds and in order. */
  constructor(stalls: readonly (readonly [number, number])[]) {
    this.#begins = stalls.map(([begin]) => begin);
    this.#ends = stalls.map(([, end]) => end);
    let sum = 0;
    for (const [begin, end] of stalls) {
      sum += end - begin;
      this.#sums.push(sum);
    }
  }

  /** Milliseconds of all stalls that have a part from `begin` to `end`. */
  between(begin: number, end: number): number {
    const sum = (count: number): number => this.#sums[count] as number;
    return sum(countUpTo(this.#begins, end)) - sum(countUpTo(this.#ends, begin));
  }
}

/** How many of the sorted `times` are at most `limit`. */
function countUpTo(times: readonly number[], limit: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] as number) <= limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
