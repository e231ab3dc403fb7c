// @ts-check
/** The loads of streams: items from the server to the client, and the reverse. */
import { ItemCount, ItemSource } from './items.mjs';
import { Tally } from './rpc-load.mjs';

/** @typedef {import('./message.mjs').Client} Client */

/**
 * Keep `inFlight` streams open on each connection for `seconds`, and count the items that have
 * arrived. The receiver of a stream checks every item, and their number at the end.
 * @param {Client[]} clients
 * @param {import('./rpc-worker.mjs').Order} order
 */
export async function measureStreams(clients, { inFlight, seconds, streams }) {
  const tally = new Tally('');
  const run = streams === 'download' ? download : upload;
  const began = performance.now();
  const all = Array.from({ length: inFlight * clients.length }, async (_, at) => {
    try {
      const items = await run(/** @type {Client} */ (clients[at % clients.length]), seconds);
      tally.calls += items;
    } catch (failure) {
      tally.fail(failure);
    }
  });
  await Promise.all(all);
  return tally.result(began);
}

/** @param {Client} client @param {number} seconds */
async function download(client, seconds) {
  if (client.download === undefined) throw new Error('the peer has no streams');
  const received = new ItemCount();
  await client.download(seconds, (item) => received.add(item));
  if (!received.isComplete) throw new Error(`the stream ended after ${received.count} items`);
  return received.count;
}

/** @param {Client} client @param {number} seconds */
async function upload(client, seconds) {
  if (client.upload === undefined) throw new Error('the peer has no streams');
  const source = new ItemSource(seconds);
  const { A } = await client.upload(source);
  if (Number(A) !== source.count)
    throw new Error(`the server received ${A} of ${source.count} items`);
  return source.count;
}
