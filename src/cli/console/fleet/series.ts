/** The points of the last 15 minutes, in arrays of constant size. */
import { MAX_POINTS } from '../limits.js';
import type { FleetHistory, Point } from '../types.js';

/** When the points of all series were taken. Each series has one point for each of these times. */
export class SeriesClock {
  readonly #times = new Float64Array(MAX_POINTS);
  #count = 0;

  /** The place of the next point. */
  get next(): number {
    return this.#count % MAX_POINTS;
  }

  /** `time`: milliseconds since the epoch. All series must have added their point. */
  advance(time: number): void {
    this.#times[this.next] = time;
    this.#count++;
  }

  /** When the last points were taken, in milliseconds since the epoch; 0 before the first ones. */
  get last(): number {
    return this.#times[(this.#count - 1 + MAX_POINTS) % MAX_POINTS] as number;
  }

  /** How many points were added since the start, also those that are no longer kept. */
  get count(): number {
    return this.#count;
  }

  /** The times of all points, oldest first. */
  times(): number[] {
    return this.order(this.#times, this.#count);
  }

  /**
   * The values of a ring as they were when `count` points were added, oldest first. A value that
   * newer points have replaced since then is NaN.
   */
  order(ring: ArrayLike<number>, count: number): number[] {
    const first = Math.max(0, count - MAX_POINTS);
    const firstKept = this.#count - MAX_POINTS;
    return Array.from({ length: count - first }, (_, at) =>
      first + at < firstKept ? Number.NaN : (ring[(first + at) % MAX_POINTS] as number),
    );
  }
}

/** The points of one service or node. NaN stands for null. */
export class Series {
  readonly #columns = Array.from({ length: 4 }, () =>
    new Float32Array(MAX_POINTS).fill(Number.NaN),
  ) as [Float32Array, Float32Array, Float32Array, Float32Array];

  /** Adds the point for the time that `clock` gets next. */
  add(clock: SeriesClock, point: Point): void {
    this.#columns.forEach((column, at) => {
      column[clock.next] = point[at] ?? Number.NaN;
    });
  }

  /** The points as they were when `clock.count` was `count`. */
  history(clock: SeriesClock, count: number): Omit<FleetHistory, 'type' | 'service' | 'node'> {
    const [rate, errors, p50, p99] = this.#columns.map((column) =>
      clock.order(column, count).map(rounded),
    ) as [Values, Values, Values, Values];
    return { rate, errors, p50, p99 };
  }
}

type Values = (number | null)[];

/** `value` with four digits, which is shorter as JSON; null if it is not finite. */
export function rounded(value: number | null): number | null {
  return value === null || !Number.isFinite(value) ? null : Number(value.toPrecision(4));
}
