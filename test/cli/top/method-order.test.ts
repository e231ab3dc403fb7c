/** The order of the methods of `getty top`. */
import { expect, test } from 'vitest';
import { firstRates, TOP_ORDERS } from '../../../src/cli/top/method-order.js';
import type { MethodRate } from '../../../src/cli/top/method-rates.js';

const rateOf = (method: string, rate: number, failures: number, p99?: number): MethodRate => ({
  service: 'S',
  version: '',
  method,
  node: 'a',
  rate,
  failures,
  codes: {},
  inFlight: 0,
  mean: p99,
  p50: p99,
  p99,
});

const RATES = [rateOf('slow', 1, 1, 90), rateOf('idle', 0, 0), rateOf('failing', 5, 4, 2)];

test.each([
  ['calls', ['failing', 'busy', 'slow', 'idle']],
  ['failed', ['failing', 'slow', 'busy', 'idle']],
  ['p99', ['slow', 'failing', 'busy', 'idle']],
] as const)('--sort %s', (order, methods) => {
  const rates = [...RATES, rateOf('busy', 5, 0)];
  for (let count = 0; count <= 5; count++)
    expect(firstRates(rates, order, count).map(({ method }) => method)).toEqual(
      methods.slice(0, count),
    );
});

test('has each order', () => {
  expect(TOP_ORDERS).toEqual(['calls', 'failed', 'p99']);
});
