/**
 * A provider publishes a service in a registry. A consumer finds its providers, prints every
 * change and calls them. Run it in several terminals; Ctrl-C closes a provider and loses no call:
 *
 *   npm run example -- micro --provider --id a --registry etcd://127.0.0.1:2379/getty
 *   npm run example -- micro --provider --id b --weight 300 --registry etcd://127.0.0.1:2379/getty
 *   npm run example -- micro --consumer --registry etcd://127.0.0.1:2379/getty
 *
 * With `--zone NAME` at the providers and the consumer, calls stay in the zone of the consumer
 * while it has enough nodes.
 *
 * The registry may also be zookeeper://127.0.0.1:2181/getty or file:///some/directory; without the
 * option it is a directory for temporary files.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import {
  consume,
  hedge,
  type Provider,
  provide,
  type SnapshotChange,
  weighted,
  zoneFirst,
} from 'getty-ts/micro';
import { registry } from 'getty-ts/registry';
import { implement } from 'getty-ts/rpc';
import { Greeter } from './greeter.js';

const { values } = parseArgs({
  options: {
    registry: { type: 'string', default: pathToFileURL(join(tmpdir(), 'getty-example')).href },
    provider: { type: 'boolean', default: false },
    consumer: { type: 'boolean', default: false },
    address: { type: 'string', default: 'tcp://127.0.0.1:0' },
    id: { type: 'string' },
    weight: { type: 'string', default: '100' },
    zone: { type: 'string' },
    count: { type: 'string', default: '1000000' },
    interval: { type: 'string', default: '500' },
  },
});

if (values.provider === values.consumer) {
  console.error('micro: expected either --provider or --consumer');
  process.exit(1);
}
const shared = await registry(values.registry);
if (values.provider) await runProvider();
else await runConsumer();

async function runProvider(): Promise<void> {
  const { address, id, weight, zone } = values;
  const provider: Provider = await provide({
    registry: shared,
    address,
    id,
    weight: Number(weight),
    zone,
    services: [
      implement(Greeter, { hello: (name) => `hello, ${name}, from ${provider.nodes[0]?.id}` }),
    ],
  });
  console.log(`${provider.nodes[0]?.id} offers Greeter at ${provider.address}`);
  process.once('SIGINT', async () => {
    // Deregisters, lets calls in flight finish, and closes.
    await provider.close();
    await shared[Symbol.asyncDispose]();
    console.log('closed');
  });
}

async function runConsumer(): Promise<void> {
  const { zone } = values;
  const consumer = consume({
    registry: shared,
    balancer: zone === undefined ? weighted() : zoneFirst({ zone, balancer: weighted() }),
    strategy: hedge(),
    slowStart: 5_000,
  });
  consumer.notify(Greeter, ({ added, removed, updated }: SnapshotChange) => {
    for (const node of added) console.log(`added ${node.id} at ${node.address}`);
    for (const node of removed) console.log(`removed ${node.id}`);
    for (const node of updated) console.log(`updated ${node.id}: ${JSON.stringify(node.metadata)}`);
  });
  const stub = consumer.stub(Greeter);
  let isStopped = false;
  process.once('SIGINT', () => {
    isStopped = true;
  });
  for (let i = 1; i <= Number(values.count) && !isStopped; i++) {
    try {
      console.log(await stub.hello(`${i}`));
    } catch (error) {
      console.log(String(error));
    }
    await sleep(Number(values.interval));
  }
  const { candidates, leftOut } = await consumer.explain(Greeter);
  for (const { node, reason } of [...candidates, ...leftOut]) console.log(`${node.id}: ${reason}`);
  await consumer.close();
  await shared[Symbol.asyncDispose]();
}
