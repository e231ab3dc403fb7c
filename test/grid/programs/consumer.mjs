/**
 * A consumer of the grid: node consumer.mjs SETTINGS_JSON. Its log file has its calls with their
 * outcomes, its stalls, and the lists of nodes.
 */
import { consume, failfast, failover, hedge } from '../../../dist/micro/index.js';
import { registry as openRegistry } from '../../../dist/registries/index.js';
import { Load } from './load.mjs';
import { MACHINE_FAULTS } from './machine-faults.mjs';
import { answerCommands, now, Shop } from './shop.mjs';

const settings = JSON.parse(process.argv[2]);
const { url, registryOptions, name, client = {}, routes = {} } = settings;

/** The registry with other addresses: those of proxies. */
function routed(registry) {
  const route = (node) => ({ ...node, address: routes[node.address] ?? node.address });
  return {
    register: (node, onPublished) => registry.register(node, onPublished),
    async *watch(query, options) {
      for await (const nodes of registry.watch(query, options)) yield nodes.map(route);
    },
    list: async () => (await registry.list()).map(route),
    get failure() {
      return registry.failure;
    },
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
}

const registry = routed(await openRegistry(url, registryOptions));
const common = { ...client, registry };
const clients = {
  failover: consume({ ...common, strategy: failover({ attempts: 3 }) }),
  failfast: consume({ ...common, strategy: failfast() }),
  hedge: consume({ ...common, strategy: hedge({ after: 300 }) }),
};
const load = new Load(name, clients, settings);
clients.failover.notify(Shop, () => {
  load.log('nodes', now(), clients.failover.resolver(Shop).nodes().length);
});

answerCommands({
  ...MACHINE_FAULTS,
  start: (period) => load.start(period),
  stop: () => load.stop(),
  probe: (times, timeout) => load.probe(times, timeout),
  /** The nodes of each client, as `id address`. */
  lists: () =>
    Object.values(clients).map((each) =>
      each
        .resolver(Shop)
        .nodes()
        .map(({ id, address }) => `${id} ${address}`)
        .sort(),
    ),
  async close() {
    for (const each of Object.values(clients)) await each.close();
    await registry[Symbol.asyncDispose]();
  },
});
process.send({ ready: name });
