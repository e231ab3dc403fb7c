// @ts-check
/** The loads of a client process: calls without a pause, and calls that are due at a fixed rate. */
import { setImmediate as turn } from 'node:timers/promises';
import { answer, REQUESTS } from './message.mjs';

/** @typedef {import('./rpc-worker.mjs').Order} Order */
/**
 * `calls`, with streams the items. `p50` and `p99` in milliseconds; 0 with streams.
 * @typedef {{ calls: number, seconds: number, p50: number, p99: number, failures: number, error:
 *   string }} Measured
 */

const MOST_FAILURES = 1_000;
/** The calls of this many lanes are timed; reading the clock in all lanes would slow the calls. */
const TIMED_LANES = 8;
const MOST_TIMES = 2 ** 17;

/** Counts the results of calls. */
export class Tally {
  calls = 0;
  failures = 0;
  error = '';
  /** @type {number[]} */
  times = [];

  /** @param {string} expected the field A of every answer */
  constructor(expected) {
    this.expected = expected;
  }

  /** @param {unknown} failure */
  fail(failure) {
    this.error ||= String(failure);
    this.failures++;
  }

  /** @param {number} began */
  time(began) {
    if (this.times.length < MOST_TIMES) this.times.push(performance.now() - began);
  }

  /** @param {number} began @returns {Measured} */
  result(began) {
    const { calls, failures, error, times } = this;
    const seconds = (performance.now() - began) / 1_000;
    times.sort((a, b) => a - b);
    const quantile = (/** @type {number} */ part) => times[Math.floor(times.length * part)] ?? 0;
    return { calls, seconds, p50: quantile(0.5), p99: quantile(0.99), failures, error };
  }
}

/**
 * Keep `inFlight` calls in flight on each connection for `seconds`, and until `leastCalls` calls
 * have ended. Each lane makes its next call when it has its answer.
 * @param {import('./message.mjs').Client[]} clients
 * @param {Order} order
 */
export async function measureLanes(clients, { inFlight, message, seconds, leastCalls = 0 }) {
  const request = REQUESTS[message];
  const tally = new Tally(answer(request).A);
  let late = false;
  const lane = async (
    /** @type {import('./message.mjs').Client['call']} */ call,
    /** @type {boolean} */ timed,
  ) => {
    while (!late || tally.calls < leastCalls) {
      const began = timed ? performance.now() : 0;
      try {
        const { A } = await call(request);
        if (A !== tally.expected) throw new Error(`a wrong answer: ${A}`);
        tally.calls++;
      } catch (failure) {
        tally.fail(failure);
        if (tally.failures >= MOST_FAILURES) return;
      }
      if (timed) tally.time(began);
    }
  };
  const began = performance.now();
  const timer = setTimeout(() => {
    late = true;
  }, seconds * 1_000);
  const lanes = Array.from({ length: inFlight * clients.length }, (_, i) =>
    lane(callOf(clients, i), i < TIMED_LANES),
  );
  await Promise.all(lanes);
  clearTimeout(timer);
  return tally.result(began);
}

/** @param {import('./message.mjs').Client[]} clients @param {number} index */
function callOf(clients, index) {
  const client = /** @type {import('./message.mjs').Client} */ (clients[index % clients.length]);
  return client.call;
}

/**
 * Make `rate` calls per second. A call is due at a fixed time, and its time counts from then, so
 * that a slow answer also delays the calls behind it in the result. At most `inFlight` calls are in
 * flight. The event loop polls, because timers are too coarse.
 * @param {import('./message.mjs').Client[]} clients
 * @param {Order} order
 */
export async function measurePaced(clients, { inFlight, message, seconds, rate = 0 }) {
  const request = REQUESTS[message];
  const tally = new Tally(answer(request).A);
  const total = Math.ceil(rate * seconds);
  const call = callOf(clients, 0);
  const began = performance.now();
  let sent = 0;
  let underWay = 0;
  const one = async (/** @type {number} */ due) => {
    underWay++;
    try {
      const { A } = await call(request);
      if (A !== tally.expected) throw new Error(`a wrong answer: ${A}`);
      tally.calls++;
    } catch (failure) {
      tally.fail(failure);
    }
    underWay--;
    tally.time(due);
  };
  while (sent < total || underWay > 0) {
    const now = performance.now();
    for (let due = began; sent < total && underWay < inFlight; sent++) {
      due = began + (sent * 1_000) / rate;
      if (due > now) break;
      one(due);
    }
    await turn();
  }
  return tally.result(began);
}
