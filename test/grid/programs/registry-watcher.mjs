/** A consumer of one service of a large registry: node registry-watcher.mjs SETTINGS_JSON. */
import { consume } from '../../../dist/micro/index.js';
import { registry as openRegistry } from '../../../dist/registries/index.js';
import { contract, unary } from '../../../dist/rpc/index.js';
import { MACHINE_FAULTS } from './machine-faults.mjs';
import { answerCommands } from './shop.mjs';

const { url, registryOptions, service } = JSON.parse(process.argv[2]);
const registry = await openRegistry(url, registryOptions);
const consumer = consume({ registry });
const watched = contract(service, { read: unary() });
let shortest = Number.POSITIVE_INFINITY;
consumer.notify(watched, () => {
  shortest = Math.min(shortest, consumer.resolver(watched).nodes().length);
});

answerCommands({
  ...MACHINE_FAULTS,
  nodes: () => consumer.resolver(watched).nodes().length,
  /** The length of the shortest list since the last call. */
  shortest() {
    const length = shortest;
    shortest = Number.POSITIVE_INFINITY;
    return length === Number.POSITIVE_INFINITY ? null : length;
  },
  async close() {
    await consumer.close();
    await registry[Symbol.asyncDispose]();
  },
});
process.send({ ready: service });
