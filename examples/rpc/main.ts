/**
 * Calls: a contract in JSON, its service, and the ways to call it.
 *
 *   npm run example -- rpc                                             both in one process
 *   npm run example -- rpc --address tcp://127.0.0.1:8849 --server     or unix://… or ws://…
 *   npm run example -- rpc --address tcp://127.0.0.1:8849 --client
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { connect, implement, RpcError, serve } from 'getty-ts/rpc';
import { type Item, Shop } from './contract.js';

const { values } = parseArgs({
  options: {
    address: { type: 'string', default: 'tcp://127.0.0.1:0' },
    server: { type: 'boolean', default: false },
    client: { type: 'boolean', default: false },
  },
});

const ITEMS: ReadonlyMap<string, Item> = new Map([['tea', { name: 'tea', price: 3.5 }]]);

const shop = implement(Shop, {
  find(name) {
    const item = ITEMS.get(name);
    // The caller gets this code and message. Any other error becomes UNKNOWN.
    if (item === undefined) throw new RpcError('NOT_FOUND', `there is no ${name} here`);
    return item;
  },
  async count({ from, to }, { signal }) {
    // The signal aborts when the caller no longer waits for the answer.
    for (let n = from; n < to; n++) await sleep(5, undefined, { signal });
    return to - from;
  },
  visited: (who) => console.log(`${who} was here`),
});

async function runClient(address: string): Promise<void> {
  await using client = await connect(address);
  const stub = client.stub(Shop);

  console.log('find:', await stub.find('tea'));

  // Settles when the request is queued: a oneway method has no answer.
  await stub.visited('Ann');

  // Calls of one client run concurrently.
  const counts = [10, 20, 30].map((to) => stub.count({ from: 0, to }));
  console.log('counts:', await Promise.all(counts));

  try {
    await stub.find('coffee');
  } catch (error) {
    if (error instanceof RpcError) console.log('find coffee:', error.code, '–', error.message);
  }
  try {
    await stub.count({ from: 0, to: 1_000_000 }, { timeout: 100 });
  } catch (error) {
    if (error instanceof RpcError) console.log('count to a million:', error.code);
  }

  // With a callback as the last argument, instead of a promise.
  await new Promise<void>((resolve) => {
    stub.find('tea', { metadata: { from: 'Ann' } }, (error, item) => {
      console.log('callback:', error ?? item);
      resolve();
    });
  });
}

if (values.client && !values.server) {
  await runClient(values.address);
} else {
  const server = await serve(values.address, [shop]);
  console.log(`shop at ${server.address}`);
  if (values.server && !values.client) process.once('SIGINT', () => void server.close());
  else {
    await runClient(server.address);
    await server.close();
  }
}
