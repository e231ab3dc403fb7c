/** Sums of calls: of the methods of a node, and of the nodes of a service. */
import type { MethodRow, Point } from '../types.js';
import { percentileOf, type TimedRate } from './latency-window.js';
import { rounded } from './series.js';

export function sumOf<Item>(items: readonly Item[], select: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + select(item), 0);
}

/** The calls of all `rates`, which are those of nodes that answer. */
export function pointOf(rates: readonly TimedRate[]): Point {
  return [
    rounded(sumOf(rates, ({ rate }) => rate)),
    rounded(sumOf(rates, ({ failures }) => failures)),
    rounded(percentileOf(rates, 0.5)),
    rounded(percentileOf(rates, 0.99)),
  ];
}

/** A method, without its calls and its schemas. */
export type NamedMethod = Pick<MethodRow, 'service' | 'version' | 'method' | 'kind'>;

/** A method over the nodes that offer it. */
export function methodRow(
  { service, version, method, kind }: NamedMethod,
  rates: readonly TimedRate[],
): MethodRow {
  const codes: Record<string, number> = Object.create(null);
  for (const rate of rates)
    for (const [code, count] of Object.entries(rate.codes))
      codes[code] = rounded((codes[code] ?? 0) + count) ?? 0;
  const [rate, errors, p50, p99] = pointOf(rates);
  return {
    service,
    version,
    method,
    kind,
    rate: rate ?? 0,
    errors: errors ?? 0,
    inFlight: sumOf(rates, ({ inFlight }) => inFlight),
    p50,
    p99,
    codes,
  };
}
