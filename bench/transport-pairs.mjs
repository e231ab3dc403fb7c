// @ts-check
/** Measures the two sides of a comparison of the transport benchmark. */
import { commandFor } from './affinity.mjs';
import { bunPath } from './bun.mjs';
import { launch, median, nextMessage, stop } from './processes.mjs';
import { QUIET } from './rpc-plan.mjs';

/** @typedef {import('./transport-plan.mjs').Comparison} Comparison */
/** @typedef {import('./transport-plan.mjs').Plan} Plan */
/** @typedef {import('./loads/load.mjs').Result} Result */
/** @typedef {import('node:child_process').ChildProcess} ChildProcess */
/**
 * `rate`: messages/s. `cpu` and `clientCpu`: microseconds of the server and of the client per
 * message. `waited`: the fraction of the time in which a main thread was ready and had no
 * processor.
 * @typedef {{ rate: number, cpu: number, clientCpu: number, waited: number }} Sample
 */
/** @typedef {{ ours: Sample, peer: Sample }} Round */

const WORKER = 'transport-worker.mjs';
/** The fraction of `seconds` that each measurement runs before it counts. */
const LEAD_IN = 0.25;
/** How long the sessions of a load may take to open, in ms more than usual. */
const OPENING = 120_000;
/** How much longer than its seconds a load may take, in ms: one broadcast, or the last answers. */
const OVERTIME = 30_000;

/**
 * Start a server, and return its addresses, separated by spaces.
 * @param {string} file of echo/ or rooms/, without its extension @param {number} [ports]
 */
export function startServer(file, ports = 1) {
  const runtime = file.includes('/bun') ? bunPath() : undefined;
  return launch(WORKER, ['server', file, String(ports)], {
    runtime,
    command: commandFor('server'),
  });
}

/** @param {object} load with its `kind` and the address of its server */
export async function startLoad(load) {
  const { child } = await launch(WORKER, ['load', JSON.stringify(load)], {
    command: commandFor('load'),
    patience: OPENING,
  });
  return child;
}

/**
 * @param {ChildProcess} child
 * @param {import('./transport-worker.mjs').Order} order
 * @returns {Promise<any>}
 */
export function tell(child, order) {
  child.send(order);
  return nextMessage(child, typeof order === 'object' ? order.seconds * 1_000 + OVERTIME : 0);
}

/** @param {ChildProcess[]} children @returns {Promise<import('./usage.mjs').Usage[]>} */
export const usages = (children) => Promise.all(children.map((child) => tell(child, 'usage')));

/** @param {Comparison} comparison @param {string} side */
async function startSide({ folder, client, load }, side) {
  const { child: server, address } = await startServer(`${folder}/${side}`);
  const child = await startLoad({
    ...load,
    side: client ?? side,
    address,
    addresses: [address],
  }).catch((error) => stop(server).then(() => Promise.reject(error)));
  const run = async (/** @type {number} */ seconds) => {
    const result = /** @type {Result} */ (await tell(child, { seconds }));
    if (result.failure !== undefined) throw new Error(`${side}: ${result.failure}`);
    return result;
  };
  return {
    run,
    /** @param {number} seconds @returns {Promise<Sample>} */
    async measure(seconds) {
      await run(seconds * LEAD_IN);
      const from = await usages([server, child]);
      const { messages, all, took } = await run(seconds);
      const to = await usages([server, child]);
      const [ofServer, ofClient] = to.map(({ cpu, waited }, at) => ({
        cpu: (cpu - Number(from[at]?.cpu)) / all,
        waited: (waited - Number(from[at]?.waited)) / took / 1e6,
      }));
      return {
        rate: messages / took,
        cpu: Number(ofServer?.cpu),
        clientCpu: Number(ofClient?.cpu),
        waited: Number(ofServer?.waited) + Number(ofClient?.waited),
      };
    },
    stop: () => stop(child).then(() => stop(server)),
  };
}

/** The median of the larger waiting of each round. @param {Round[]} rounds */
export const waitedIn = (rounds) =>
  median(rounds.map(({ ours, peer }) => Math.max(ours.waited, peer.waited)));

/** @param {Comparison} comparison @param {Plan} plan */
async function measureRounds(comparison, plan) {
  const isTimed = comparison.load.kind === 'timed';
  const seconds = isTimed ? plan.timedSeconds : plan.seconds;
  const ours = await startSide(comparison, comparison.ours);
  const sides = [ours];
  try {
    const peer = await startSide(comparison, comparison.peer);
    sides.push(peer);
    for (const side of sides) await side.run(isTimed ? plan.timedSeconds : plan.warmUp);
    /** @type {Round[]} */
    const rounds = [];
    while (rounds.length < plan.rounds) {
      // The first side alternates, so that a machine that slows down affects both sides equally.
      const isOursFirst = rounds.length % 2 === 0;
      const [first, second] = isOursFirst ? [ours, peer] : [peer, ours];
      const [x, y] = [await first.measure(seconds), await second.measure(seconds)];
      rounds.push(isOursFirst ? { ours: x, peer: y } : { ours: y, peer: x });
    }
    return rounds;
  } finally {
    await Promise.all(sides.map((side) => side.stop()));
  }
}

/**
 * Measure a comparison. When its processes waited too long for a processor, measure it again, and
 * return the quietest rounds. The selection depends on the waiting alone.
 * @param {Comparison} comparison @param {Plan} plan
 */
export async function compare(comparison, plan) {
  let quietest = await measureRounds(comparison, plan);
  for (let again = 0; again < plan.again && waitedIn(quietest) > QUIET; again++) {
    const rounds = await measureRounds(comparison, plan);
    if (waitedIn(rounds) < waitedIn(quietest)) quietest = rounds;
  }
  return quietest;
}
