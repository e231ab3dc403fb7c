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

/** The methods with the most of `order` first; of equal ones that with the most calls. */
export function sortRates(rates: readonly MethodRate[], order: TopOrder): MethodRate[] {
  const keyOf = KEYS[order];
  return [...rates].sort(
    (a, b) => keyOf(b) - keyOf(a) || b.rate - a.rate || b.inFlight - a.inFlight,
  );
}
