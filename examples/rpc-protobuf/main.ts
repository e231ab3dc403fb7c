/**
 * A service from a .proto file: Protobuf messages, with names and types from the generated code.
 *
 *   npm run example -- rpc-protobuf
 */
import { connect, contract, implement, RpcError, serve } from 'getty-ts/rpc';
import { Orders as descriptor } from './orders_pb.js';

/** The contract of the generated service. `Place` of the file is `place` here. */
const Orders = contract(descriptor, { version: 'v1' });

const PRICES: Readonly<Record<string, number>> = { tea: 3.5, coffee: 4 };
const placed: { item: string; amount: number }[] = [];

function priceOf({ item, amount }: { item: string; amount: number }): number {
  const price = Object.hasOwn(PRICES, item) ? PRICES[item] : undefined;
  if (price === undefined) throw new RpcError('NOT_FOUND', `there is no ${item} here`);
  return price * amount;
}

const service = implement(Orders, {
  place({ item, amount }) {
    const total = priceOf({ item, amount });
    // Answers are plain objects; a missing field has its default. An int64 is a bigint.
    return { number: BigInt(placed.push({ item, amount })), total };
  },
  get({ number }) {
    const order = placed[Number(number) - 1];
    if (order === undefined) throw new RpcError('NOT_FOUND', `there is no order ${number}`);
    return order;
  },
  async placeMany(orders) {
    let count = 0;
    let total = 0;
    for await (const order of orders) {
      total += priceOf(order);
      count = placed.push({ item: order.item, amount: order.amount });
    }
    return { orders: count, total };
  },
});

await using server = await serve('tcp://127.0.0.1:0', [service]);
await using client = await connect(server.address);
const stub = client.stub(Orders);

const { number, total } = await stub.place({ item: 'tea', amount: 2 });
console.log(`order ${number} costs ${total}`);
const { item, amount } = await stub.get({ number });
console.log(`order ${number} was ${amount} ${item}`);

const all = await stub.placeMany([
  { item: 'coffee', amount: 1 },
  { item: 'tea' },
  { item: 'tea', amount: 4 },
]);
console.log(`${all.orders} orders by now, the last three for ${all.total}`);

try {
  await stub.place({ item: 'milk', amount: 1 });
} catch (error) {
  if (error instanceof RpcError) console.log(`milk: ${error.code} – ${error.message}`);
}

// The same contract in JSON, for debugging and for peers without Protobuf.
const receipt = await client.stub(Orders, { codec: 'json' }).place({ item: 'coffee', amount: 3 });
console.log(`in JSON: order ${receipt.number} costs ${receipt.total}`);
