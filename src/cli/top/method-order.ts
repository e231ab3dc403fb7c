/** The order of the methods that `getty top` shows. */
import type { MethodRate } from './method-rates.js';

export const TOP_ORDERS = ['calls', 'failed', 'p99'] as const;
export type TopOrder = (typeof TOP_ORDERS)[number];

/** A method whose latency is unknown comes last. */
const KEYS: Readonly<Record<TopOrder, (rate: MethodRate) => number>> = {
  calls: ({ rate }) => rate,
  failed: ({ failures }) => failures,
  p99: ({ p99 }) => p99 ?? -1,
};

/**
 * The first `count` methods: those with the most of `order`, and of equal ones those with the most
 * calls.
 */
export function firstRates(
  rates: readonly MethodRate[],
  order: TopOrder,
  count: number,
): MethodRate[] {
  const keyOf = KEYS[order];
  const compare = (a: MethodRate, b: MethodRate): number =>
    keyOf(b) - keyOf(a) || b.rate - a.rate || b.inFlight - a.inFlight;
  if (count >= rates.length) return [...rates].sort(compare);
  // Hundreds of nodes with thousands of methods have far more rows than are shown.
  const first: MethodRate[] = [];
  for (const rate of rates) {
    let at = first.length;
    while (at > 0 && compare(rate, first[at - 1] as MethodRate) < 0) at--;
    if (at === count) continue;
    first.splice(at, 0, rate);
    first.splice(count);
  }
  return first;
}
