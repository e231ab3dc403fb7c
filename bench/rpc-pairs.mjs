// @ts-check
/** Controls a server and a client process of one peer. */
import { nextMessage, startWith, stop } from './processes.mjs';

/** @typedef {import('./rpc-load.mjs').Measured} Measured */
/** @typedef {import('./rpc-worker.mjs').Order} Order */
/** @typedef {import('./rpc-worker.mjs').State} State */
/**
 * `cpu`: microseconds of both processes per call. `waited`: the fraction of the time in which a
 * process was ready and had no processor.
 * @typedef {Measured & { rate: number, cpu: number, waited: number }} Sample
 */
/** @typedef {{ client: State, server: State }} States */

const WORKER = 'rpc-worker.mjs';
/** The fraction of `seconds` that each measurement runs before it counts. */
const LEAD_IN = 0.25;
/** The fewest calls per lane, because with slow calls the time alone may permit only one. */
const LEAST_CALLS = 2;

/**
 * Start a server and a client process. When a process ends or does not answer, the measurement has
 * a failure.
 * @param {string} peer or several, separated by commas, in the same two processes
 * @param {string[]} [flags] for both processes
 */
export async function startPair(peer, flags = []) {
  const { child: server, address } = await startWith(flags, WORKER, 'server', peer);
  const { child: client } = await startWith(flags, WORKER, 'client', peer, address);
  /**
   * @type {(child: import('node:child_process').ChildProcess, what: Order | 'state' | 'collect',
   *   seconds?: number) => Promise<any>}
   */
  const tell = async (child, what, seconds = 0) => {
    if (!child.connected) throw new Error('its process is gone');
    child.send(what);
    return nextMessage(child, seconds * 1_000);
  };
  const load = (/** @type {Order} */ order, patience = order.seconds) =>
    /** @type {Promise<Measured>} */ (tell(client, order, patience));
  const both = async (/** @type {'state' | 'collect'} */ what) => {
    const [ofServer, ofClient] = await Promise.all([tell(server, what), tell(client, what)]);
    return /** @type {States} */ ({ client: ofClient, server: ofServer });
  };
  return {
    load,
    both,
    /** Calls without measuring. An error appears in the next measurement. @param {Order} order */
    async warm(order) {
      try {
        await load(order);
      } catch {
        client.kill('SIGKILL');
      }
    },
    /** @param {Order} order @returns {Promise<Sample>} */
    async measure(order) {
      try {
        const before = await load({ ...order, seconds: order.seconds * LEAD_IN });
        const from = await both('state');
        const measured = await load({
          ...order,
          leastCalls: LEAST_CALLS * order.connections * order.inFlight,
        });
        const to = await both('state');
        const used = (/** @type {'cpu' | 'waited'} */ what) =>
          to.client[what] - from.client[what] + to.server[what] - from.server[what];
        const [cpu, waited] = [
          used('cpu') / measured.calls,
          used('waited') / measured.seconds / 1e6,
        ];
        const failures = before.failures + measured.failures;
        return {
          ...measured,
          rate: measured.calls / measured.seconds,
          cpu,
          waited,
          failures,
          error: before.error || measured.error,
        };
      } catch (error) {
        client.kill('SIGKILL');
        return {
          calls: 0,
          seconds: order.seconds,
          p50: 0,
          p99: 0,
          rate: 0,
          cpu: 0,
          waited: 0,
          failures: 1,
          error: String(error),
        };
      }
    },
    stop: () => stop(client).then(() => stop(server)),
  };
}

/** @typedef {Awaited<ReturnType<typeof startPair>>} Pair */
