// @ts-check
/** getty with Protobuf, the promise API and the defaults. */
import { contract, connect as dial, implement, serve as listen } from '../../dist/rpc/index.js';
import { ItemCount, ItemSource } from '../items.mjs';
import { answer, TestService } from '../message.mjs';
import { StreamService } from '../stream-service.mjs';

/** @typedef {import('../message.mjs').Item} Item */
/** @typedef {import('../../dist/rpc/index.js').RpcClient} RpcClient */
/**
 * @typedef {object} StreamStub
 * @property {(request: Item) => AsyncIterable<Item>} download
 * @property {(items: AsyncIterable<Item>) => Promise<Item>} upload
 */

export const Test = contract(TestService, { version: 'v1.0' });
const Streams = contract(StreamService);

const handlers = {
  download: (/** @type {Item} */ { A }) => itemsOf(new ItemSource(Number(A), true)),
  async upload(/** @type {AsyncIterable<Item>} */ items) {
    const count = new ItemCount();
    for await (const item of items) count.add(item);
    return count.total();
  },
};

export function serve() {
  const nothing = () => ({});
  return listen('tcp://127.0.0.1:0', [
    implement(Test, { test: answer, add: nothing, err: nothing, event: nothing }),
    implement(Streams, /** @type {any} */ (handlers)),
  ]);
}

/**
 * @param {RpcClient} client
 * @param {Pick<RpcClient, 'stub'>} callee the client, or one of its channels
 */
export function callable(client, callee) {
  const stub = callee.stub(Test);
  return {
    call: (/** @type {import('../message.mjs').Request} */ request) => stub.test(request),
    close: () => client.close(),
  };
}

/** @type {import('../message.mjs').Peer['connect']} */
export async function connect(address) {
  const client = await dial(address, { connections: 1 });
  const streams = /** @type {StreamStub} */ (/** @type {unknown} */ (client.stub(Streams)));
  return {
    ...callable(client, client),
    async download(seconds, onItem) {
      for await (const item of streams.download({ A: String(seconds) })) onItem(item);
    },
    upload: (source) => streams.upload(itemsOf(source)),
  };
}

/** @param {ItemSource} source */
async function* itemsOf(source) {
  for (let item = source.next(); item !== undefined; item = source.next()) yield item;
}
