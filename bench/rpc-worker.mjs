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
import { atMostASecond } from './message.mjs';
import { measureLanes, measurePaced, Tally } from './rpc-load.mjs';
import { measureStreams } from './rpc-streams.mjs';

/**
 * @typedef {{ connections: number, inFlight: number, message: import('./message.mjs').Size,
 *   streams?: 'download' | 'upload' }} Shape
 *   `inFlight` calls on each connection. With `streams` these are streams of items, from the server
 *   or from the client, and `message` is not used.
 */
/**
 * @typedef {Shape & { side?: string, seconds: number, leastCalls?: number, rate?: number }} Order
 *   `side`: one of several peers. `rate`: calls/s that are due at a fixed rate.
 */
/**
 * @typedef {{ cpu: number, waited: number, heap: number, collections: number }} State Of a process:
 *   `cpu` and `waited` in microseconds, `heap` in bytes.
 */

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
    if (order.streams !== undefined) return await measureStreams(opened, order);
    return await (order.rate === undefined ? measureLanes : measurePaced)(opened, order);
  } catch (failure) {
    const tally = new Tally('');
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
