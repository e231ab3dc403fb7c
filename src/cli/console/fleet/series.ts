/** The points of the last 15 minutes, in arrays of constant size. */
import type { FleetHistory, Point } from '../types.js';

/** One point each second, for 15 minutes. */
export const MAX_POINTS = 900;

/** When the points of all series were taken. Each series has one point for each of these times. */
export class SeriesClock {
  readonly #times = new Float64Array(MAX_POINTS);
  #count = 0;

  /** The place of the next point. */
  get next(): number {
    return this.#count % MAX_POINTS;
  }

  get length(): number {
    return Math.min(this.#count, MAX_POINTS);
  }

  /** `time`: milliseconds since the epoch. All series must have added their point. */
  advance(time: number): void {
    this.#times[this.next] = time;
    this.#count++;
  }

  /** The time of the last points; 0 before the first ones. */
  get last(): number {
    return this.#times[(this.#count - 1 + MAX_POINTS) % MAX_POINTS] as number;
  }

  times(): number[] {
    return this.order(this.#times);
  }

  /** The values of a ring, oldest first. */
  order(ring: ArrayLike<number>): number[] {
    const first = this.#count > MAX_POINTS ? this.next : 0;
    return Array.from(
      { length: this.length },
      (_, at) => ring[(first + at) % MAX_POINTS] as number,
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

  history(clock: SeriesClock): Omit<FleetHistory, 'type' | 'service' | 'node'> {
    const [rate, errors, p50, p99] = this.#columns.map((column) =>
      clock.order(column).map(rounded),
    ) as [Values, Values, Values, Values];
    return { rate, errors, p50, p99 };
  }
}

type Values = (number | null)[];

/** `value` with four digits, which is shorter as JSON. */
export function rounded(value: number | null): number | null {
  return value === null || !Number.isFinite(value) ? null : Number(value.toPrecision(4));
}
