// @ts-check
/**
 * One process of a measurement: `rpc-worker.mjs server PEER` or
 * `rpc-worker.mjs client PEER ADDRESS`. Several peers, and their addresses, are separated by
 * commas. rpc-pairs.mjs controls it over the IPC channel. It ends when the channel closes.
 */
import { existsSync, readFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { getHeapStatistics } from 'node:v8';
import { answer, atMostASecond, REQUESTS } from './message.mjs';

/**
 * @typedef {{ connections: number, inFlight: number, message: import('./message.mjs').Size }} Shape
 *   `inFlight` on each connection.
 */
/**
 * @typedef {Shape & { side?: string, seconds: number, leastCalls?: number, rate?: number }} Order
 *   `side`: one of several peers. `rate`: calls/s that are due at a fixed rate.
 */
/**
 * @typedef {{ calls: number, seconds: number, p50: number, p99: number, failures: number, error:
 *   string }} Measured `p50` and `p99` in milliseconds.
 */
/**
 * @typedef {{ cpu: number, waited: number, heap: number, collections: number }} State Of a process:
 *   `cpu` and `waited` in microseconds, `heap` in bytes.
 */

const MOST_FAILURES = 1_000;
/** The calls of this many lanes are timed; reading the clock in all lanes would slow the calls. */
const TIMED_LANES = 8;
const MOST_TIMES = 2 ** 17;

/** Counts the results of calls. */
class Tally {
  calls = 0;
  failures = 0;
  error = '';
  /** @type {number[]} */
  times = [];

  /** @param {import('./message.mjs').Size} message */
  constructor(message) {
    this.expected = answer(REQUESTS[message]).A;
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
async function measureLanes(clients, { inFlight, message, seconds, leastCalls = 0 }) {
  const request = REQUESTS[message];
  const tally = new Tally(message);
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
async function measurePaced(clients, { inFlight, message, seconds, rate = 0 }) {
  const request = REQUESTS[message];
  const tally = new Tally(message);
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

let collections = 0;
/** @type {PerformanceObserver | undefined} */
let observer;

/** Collect all garbage, and start counting collections. */
async function collect() {
  observer ??= new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  });
  observer.observe({ entryTypes: ['gc'] });
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.();
    await turn();
  }
  observer.takeRecords();
  collections = 0;
}

const SCHEDULER = '/proc/self/schedstat';
const hasScheduler = existsSync(SCHEDULER);

/**
 * How long the main thread was ready and had no processor, in microseconds; 0 where the system does
 * not report it.
 */
function waited() {
  return hasScheduler ? Number(readFileSync(SCHEDULER, 'latin1').split(' ')[1]) / 1_000 : 0;
}

/** @returns {State} */
function state() {
  const { user, system } = process.cpuUsage();
  collections += observer?.takeRecords().length ?? 0;
  return {
    cpu: user + system,
    waited: waited(),
    heap: getHeapStatistics().used_heap_size,
    collections,
  };
}

/**
 * Opens new connections when another number of them, or more concurrent calls, are needed.
 * @param {import('./message.mjs').Peer} peer
 * @param {string} address
 */
function clientsOf(peer, address) {
  /** @type {import('./message.mjs').Client[]} */
  let clients = [];
  let inFlight = 0;
  return {
    /** @param {Shape} shape */
    async for(shape) {
      if (clients.length === shape.connections && inFlight >= shape.inFlight) return clients;
      await this.close();
      inFlight = shape.inFlight;
      if (peer.connectAll !== undefined)
        clients = await peer.connectAll(address, shape.connections);
      while (clients.length < shape.connections)
        clients.push(await peer.connect(address, inFlight));
      return clients;
    },
    async close() {
      await atMostASecond(Promise.all(clients.map((client) => client.close())));
      clients = [];
    },
  };
}

const [role, names = '', addresses = ''] = process.argv.slice(2);
const sides = await Promise.all(
  names.split(',').map(async (name, at) => {
    /** @type {import('./message.mjs').Peer} */
    const peer = await import(`./peers/${name}.mjs`);
    const server = role === 'server' ? await peer.serve() : undefined;
    return { name, server, clients: clientsOf(peer, addresses.split(',')[at] ?? '') };
  }),
);

/** @param {Order} order */
async function measure(order) {
  try {
    const { clients } = /** @type {typeof sides[0]} */ (
      sides.find(({ name }) => name === order.side) ?? sides[0]
    );
    const opened = await clients.for(order);
    return await (order.rate === undefined ? measureLanes : measurePaced)(opened, order);
  } catch (failure) {
    const tally = new Tally(order.message);
    tally.fail(failure);
    return tally.result(performance.now());
  }
}

process.on('message', async (/** @type {Order | 'state' | 'collect'} */ order) => {
  if (order === 'collect') await collect();
  process.send?.(typeof order === 'string' ? state() : await measure(order));
});
process.on('disconnect', async () => {
  await Promise.all(
    sides.map(({ server, clients }) =>
      atMostASecond(server === undefined ? clients.close() : server.close()),
    ),
  );
  process.exit();
});
process.send?.(sides.map(({ server }) => server?.address ?? '').join(','));
