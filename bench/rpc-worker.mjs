// @ts-check
/**
 * One process of a measurement: `rpc-worker.mjs server PEER` or `rpc-worker.mjs client PEER ADDRESS`. It talks with rpc.mjs over the
 * IPC channel, and ends when that does.
 */
import { ANSWER, atMostASecond } from './message.mjs';

/** @typedef {{ inFlight: number, seconds: number }} Order */
/** @typedef {{ calls: number, seconds: number, p50: number, failures: number, error: string }} Measured `p50` in milliseconds. */

const MOST_FAILURES = 1_000;
/** Every call of so many lanes is timed; the clock would cost the others more than it tells. */
const TIMED_LANES = 8;
const MOST_TIMES = 2 ** 16;

/**
 * Keep `inFlight` calls in flight for `seconds`.
 * @param {() => Promise<{ A: string }>} call
 * @param {Order} order
 * @returns {Promise<Measured>}
 */
async function measure(call, { inFlight, seconds }) {
  let running = true;
  let calls = 0;
  let failures = 0;
  let error = '';
  /** @type {number[]} */
  const times = [];
  const lane = async (/** @type {boolean} */ timed) => {
    while (running) {
      const before = timed ? performance.now() : 0;
      try {
        const { A } = await call();
        if (A !== ANSWER) throw new Error(`a wrong answer: ${A}`);
        calls++;
      } catch (failure) {
        error ||= String(failure);
        if (++failures >= MOST_FAILURES) running = false;
      }
      if (timed && times.length < MOST_TIMES) times.push(performance.now() - before);
    }
  };
  const start = performance.now();
  const timer = setTimeout(() => {
    running = false;
  }, seconds * 1_000);
  await Promise.all(Array.from({ length: inFlight }, (_, index) => lane(index < TIMED_LANES)));
  clearTimeout(timer);
  const took = (performance.now() - start) / 1_000;
  times.sort((a, b) => a - b);
  return { calls, seconds: took, p50: times[times.length >> 1] ?? 0, failures, error };
}

const [role, name, address = ''] = process.argv.slice(2);
/** @type {import('./message.mjs').Peer} */
const peer = await import(`./peers/${name}.mjs`);
const end = role === 'server' ? await peer.serve() : await peer.connect(address);

process.on('message', async (/** @type {Order} */ order) => {
  if ('call' in end) process.send?.(await measure(end.call, order));
});
process.on('disconnect', async () => {
  await atMostASecond(end.close());
  process.exit();
});
process.send?.('address' in end ? end.address : '');
