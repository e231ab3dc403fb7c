/**
 * A balancer that picks providers by their metadata. Each provider publishes `{"group_id":N}` as
 * its meta string. The balancer sends a call to a provider of the group that the call names:
 *
 *   npm run example -- micro-self-defined-balancer --registry etcd://127.0.0.1:2379/getty
 *
 * Three providers and the consumer run in this process. The registry may also be
 * zookeeper://host:2181/getty or file:///directory; without the option it is in memory.
 */
import { parseArgs } from 'node:util';
import { consume, provide } from 'getty-ts/micro';
import { registry } from 'getty-ts/registry';
import { contract, implement, unary } from 'getty-ts/rpc';
import { byGroup, GROUP } from './by-group.js';

const { values } = parseArgs({ options: { registry: { type: 'string', default: 'memory:' } } });

const Users = contract(
  'Users',
  { find: unary<number, string>({ idempotent: true }) },
  { version: 'v1' },
);

const shared = await registry(values.registry);
const providers = await Promise.all(
  [
    { id: 'first', group: 1 },
    { id: 'second', group: 2 },
    { id: 'another-second', group: 2 },
  ].map(({ id, group }) => {
    const services = [implement(Users, { find: (user) => `user ${user} found by ${id}` })];
    return provide({
      registry: shared,
      id,
      address: 'tcp://127.0.0.1:0',
      meta: JSON.stringify({ group_id: group }),
      services,
    });
  }),
);

const consumer = consume({ registry: shared, balancer: byGroup() });
await new Promise<void>((resolve) => {
  consumer.notify(Users, (_, nodes) => nodes.length === providers.length && resolve());
});
const stub = consumer.stub(Users);
for (const [user, group] of [
  [10, 1],
  [11, 1],
  [20, 2],
  [21, 2],
  [30, 3],
] as const) {
  try {
    console.log(`group ${group}: ${await stub.find(user, { metadata: { [GROUP]: `${group}` } })}`);
  } catch (error) {
    console.log(`group ${group}: ${String(error)}`);
  }
}
await consumer.close();
for (const provider of providers) await provider.close();
await shared[Symbol.asyncDispose]();
