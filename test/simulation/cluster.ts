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
import { CODECS, SHOPS, shopService, type Version } from './services.js';

const VERSIONS_AT_START: Readonly<Record<string, Version>> = {
  'provider-a': '1.0',
  'provider-b': '2.0',
  'provider-c': '1.0',
  'provider-d': '2.0',
};
/** Providers that a fault can restart with another version. The others keep theirs. */
const UPGRADED = ['provider-c', 'provider-d'];
const CONSUMERS = ['consumer-a', 'consumer-b'];
/** The group of the providers that listen for streams. */
const STREAMS = 'streams';
/** The group of the providers that listen for datagrams, and the name of their consumer. */
export const DATAGRAMS = 'datagrams';
/** How a provider listens in each group. */
const ADDRESSES: Readonly<Record<string, (host: string) => string>> = {
  [STREAMS]: (host) => `sim://${host}:1000`,
  [DATAGRAMS]: (host) => `simudp://${host}:2000`,
};
export const REGISTRY_ADDRESS = 'sim://registry:2379';
/** Milliseconds: when the registry removes the entry of a silent provider. */
export const REGISTRY_TTL = 10_000;
/** Milliseconds. */
export const HEARTBEAT_PERIOD = 5_000;
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
  version: Version,
): ProviderHost {
  const registry = new RegistryClient(REGISTRY_ADDRESS, REGISTRY_TTL);
  const consumer = consume({
    registry,
    group: STREAMS,
    strategy: failfast(),
    heartbeatPeriod: HEARTBEAT_PERIOD,
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
  const service = shopService({
    host: name,
    version,
    history,
    random,
    sleep: (ms) => clock.sleep(ms),
    consumer: () => consumer,
  });
  void (async () => {
    const common = { registry, services: [service], heartbeatPeriod: HEARTBEAT_PERIOD };
    while (host.datagramProvider === undefined && !isClosed) {
      try {
        host.provider ??= await provide({
          ...common,
          address: ADDRESSES[STREAMS]?.(name),
          group: STREAMS,
        });
        host.datagramProvider = await provide({
          ...common,
          address: ADDRESSES[DATAGRAMS]?.(name),
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
  const common = {
    registry,
    group: STREAMS,
    heartbeatPeriod: HEARTBEAT_PERIOD,
    connectTimeout: 2_000,
  };
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
  /** The version of each provider, from its next start on. */
  readonly versions = new Map(Object.entries(VERSIONS_AT_START));

  constructor(simulation: Simulation, history: History) {
    const { host } = simulation;
    this.registry = host('registry', async () => serveRegistry(REGISTRY_ADDRESS, this.store));
    this.providers = [...this.versions.keys()].map((name) =>
      host(name, () => startProvider(simulation, history, name, this.versionOf(name))),
    );
    this.consumers = CONSUMERS.map((name) => host(name, startConsumers));
  }

  get hosts(): readonly Host[] {
    return [this.registry, ...this.providers, ...this.consumers];
  }

  /** The providers that a fault can restart with another version. */
  get upgraded(): readonly Host<ProviderHost>[] {
    return this.providers.filter(({ name }) => UPGRADED.includes(name));
  }

  versionOf(name: string): Version {
    return this.versions.get(name) as Version;
  }

  /** All consumers of this moment, with the name of their host and their group. */
  async allConsumers(): Promise<{ name: string; group: string; consumer: Consumer }[]> {
    const all: { name: string; group: string; consumer: Consumer }[] = [];
    for (const host of this.consumers) {
      const { consumers } = await host.ready();
      for (const [strategy, consumer] of Object.entries(consumers)) {
        const group = strategy === DATAGRAMS ? DATAGRAMS : STREAMS;
        all.push({ name: `${host.name}, ${strategy}`, group, consumer });
      }
    }
    for (const host of this.providers) {
      const { consumer } = await host.ready();
      all.push({ name: host.name, group: STREAMS, consumer });
    }
    return all;
  }

  /**
   * How the lists of all consumers differ from the truth: each provider, with its present version.
   * Empty: they are equal.
   */
  async wrongLists(): Promise<string[]> {
    const down = this.hosts.filter(({ state }) => state !== 'running');
    if (down.length > 0) return down.map(({ name, state }) => `${name} is ${state}`);
    const wrong: string[] = [];
    for (const { name, group, consumer } of await this.allConsumers()) {
      for (const version of Object.keys(SHOPS) as Version[]) {
        const expected = this.providers
          .filter((provider) => this.versionOf(provider.name) === version)
          .map((provider) => ADDRESSES[group]?.(provider.name))
          .join(' ');
        for (const codec of CODECS) {
          const nodes = consumer.resolver(SHOPS[version], { codec }).nodes();
          const listed = nodes
            .map(({ address }) => address)
            .sort()
            .join(' ');
          if (listed !== expected)
            wrong.push(`${name} lists ${listed} for ${version} in ${codec}, not ${expected}`);
        }
      }
    }
    return wrong;
  }
}
