/** The hosts of a simulation: a registry, providers and consumers. */
import {
  type Consumer,
  consume,
  failfast,
  failover,
  hedge,
  leastActive,
  type Provider,
  p2cEwma,
  provide,
  random as randomBalancer,
  roundRobin,
} from '../../src/micro/index.js';
import type { Host, Simulation } from '../../src/testing/simulation/index.js';
import type { History } from './history.js';
import { RegistryClient, serveRegistry } from './registry.js';
import { RegistryStore } from './registry-store.js';
import { shopServices } from './services.js';

const PROVIDERS = ['provider-a', 'provider-b', 'provider-c', 'provider-d'];
const CONSUMERS = ['consumer-a', 'consumer-b'];
/** The group of the providers that listen for streams. */
const STREAMS = 'streams';
/** The group of the providers that listen for datagrams, and the name of their consumer. */
export const DATAGRAMS = 'datagrams';
/** Each provider publishes two services; one of them in JSON and in Protobuf; in two groups. */
export const ENTRIES_PER_PROVIDER = 6;
const REGISTRY_ADDRESS = 'sim://registry:2379';
/** Milliseconds: when the registry removes the entry of a silent provider. */
export const REGISTRY_TTL = 10_000;
/** Milliseconds between two attempts of a provider to start. */
const START_PERIOD = 2_000;

/** What runs on a host of a consumer. */
export interface ConsumerHost {
  readonly registry: RegistryClient;
  /** By the name of their strategy. */
  readonly consumers: Readonly<Record<string, Consumer>>;
}

export interface ProviderHost {
  readonly registry: RegistryClient;
  /** Undefined until it is published, and while it is closed. */
  provider: Provider | undefined;
  /** The same services over datagrams, in the group DATAGRAMS. */
  datagramProvider: Provider | undefined;
  readonly consumer: Consumer;
  close(): Promise<void>;
}

function startProvider(
  { clock, random, trace }: Simulation,
  history: History,
  name: string,
): ProviderHost {
  const registry = new RegistryClient(REGISTRY_ADDRESS, REGISTRY_TTL);
  const consumer = consume({
    registry,
    group: STREAMS,
    strategy: failfast(),
    heartbeatPeriod: 5_000,
  });
  let isClosed = false;
  const host: ProviderHost = {
    registry,
    consumer,
    provider: undefined,
    datagramProvider: undefined,
    async close() {
      isClosed = true;
      await host.datagramProvider?.close();
      await host.provider?.close();
      await consumer.close();
      await registry[Symbol.asyncDispose]();
    },
  };
  const services = shopServices({
    host: name,
    history,
    random,
    sleep: (ms) => clock.sleep(ms),
    consumer: () => consumer,
  });
  void (async () => {
    const common = { registry, services, heartbeatPeriod: 5_000 };
    while (host.datagramProvider === undefined && !isClosed) {
      try {
        host.provider ??= await provide({
          ...common,
          address: `sim://${name}:1000`,
          group: STREAMS,
        });
        host.datagramProvider = await provide({
          ...common,
          address: `simudp://${name}:2000`,
          group: DATAGRAMS,
        });
      } catch (error) {
        trace(`cannot start: ${error}`);
        await clock.sleep(START_PERIOD);
      }
    }
  })();
  return host;
}

function startConsumers(): ConsumerHost {
  const registry = new RegistryClient(REGISTRY_ADDRESS, REGISTRY_TTL);
  const common = { registry, group: STREAMS, heartbeatPeriod: 5_000, connectTimeout: 2_000 };
  return {
    registry,
    consumers: {
      failfast: consume({ ...common, balancer: roundRobin(), strategy: failfast() }),
      failover: consume({ ...common, balancer: p2cEwma(), strategy: failover({ attempts: 3 }) }),
      'failover, random': consume({
        ...common,
        balancer: randomBalancer(),
        strategy: failover({ attempts: 2 }),
      }),
      [DATAGRAMS]: consume({
        ...common,
        group: DATAGRAMS,
        balancer: roundRobin(),
        strategy: failover({ attempts: 3 }),
      }),
      hedge: consume({ ...common, balancer: leastActive(), strategy: hedge({ after: 100 }) }),
    },
  };
}

export class Cluster {
  readonly store = new RegistryStore(REGISTRY_TTL);
  readonly registry: Host<AsyncDisposable>;
  readonly providers: readonly Host<ProviderHost>[];
  readonly consumers: readonly Host<ConsumerHost>[];

  constructor(simulation: Simulation, history: History) {
    const { host } = simulation;
    this.registry = host('registry', async () => serveRegistry(REGISTRY_ADDRESS, this.store));
    this.providers = PROVIDERS.map((name) =>
      host(name, () => startProvider(simulation, history, name)),
    );
    this.consumers = CONSUMERS.map((name) => host(name, startConsumers));
  }

  get hosts(): readonly Host[] {
    return [this.registry, ...this.providers, ...this.consumers];
  }
}
