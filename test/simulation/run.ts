/** One simulation of providers, consumers and a registry with random faults, and its checks. */
import { nodeKey } from '../../src/micro/snapshots.js';
import { type Simulation, simulate } from '../../src/testing/simulation/index.js';
import { Cluster, type ConsumerHost, ENTRIES_PER_PROVIDER, REGISTRY_TTL } from './cluster.js';
import { Faults } from './faults.js';
import { History } from './history.js';
import { Shop, TestService } from './services.js';
import { Workload } from './workload.js';

export interface ClusterReport {
  readonly seed: number;
  readonly traceHash: string;
  readonly traceLines: number;
  readonly calls: number;
  /** Outcomes by kind and code. */
  readonly counts: ReadonlyMap<string, number>;
  /** What went wrong. Empty: nothing. */
  readonly violations: readonly string[];
}

/**
 * Milliseconds after the end of all faults by which every list must be complete. A stream through a
 * partition sends again after at most twice its length; heartbeats end it earlier.
 */
const RECOVERY = 60_000 + REGISTRY_TTL;
/** Milliseconds after the end of the calls by which each must have its outcome. */
const LAST_CALLS = 10_000;
/** Milliseconds for orderly ends. */
const CLOSING = 30_000;

/** `seconds`: how long the faults last, in virtual time. */
export async function runCluster(
  seed: number,
  seconds: number,
  onTrace?: (line: string) => void,
): Promise<ClusterReport> {
  const { value, traceHash, traceLines } = await simulate({ seed, onTrace }, async (simulation) => {
    const { clock } = simulation;
    const history = new History(() => clock.now);
    const cluster = new Cluster(simulation, history);
    const faults = new Faults(simulation, cluster, history);
    await clock.sleep('5s');
    const end = clock.now + seconds * 1_000;
    keepCalling(simulation, cluster, history, end);
    await faults.run(end);
    await clock.sleep(RECOVERY);
    history.violations.push(...checkLists(cluster));
    for (const host of cluster.consumers) {
      const workload = new Workload(simulation, history, host.name);
      const started = await host.ready();
      history.violations.push(...(await host.run(() => workload.runAll(started))));
    }
    await clock.sleep(LAST_CALLS);
    history.check();
    history.violations.push(...(await closeAll(cluster, simulation)));
    return history;
  });
  const { size, counts, violations } = value;
  return { seed, traceHash, traceLines, calls: size, counts, violations };
}

/** Each process of a consumer host makes calls until the time `end`. */
function keepCalling(simulation: Simulation, cluster: Cluster, history: History, end: number) {
  const { clock, trace } = simulation;
  for (const host of cluster.consumers) {
    void (async () => {
      while (clock.now < end) {
        try {
          const started = await host.ready();
          const workload = new Workload(simulation, history, host.name);
          await host.run(() => workload.run(started, end));
        } catch (error) {
          trace(`${host.name} makes no calls: ${error}`);
          await clock.sleep('1s');
        }
      }
    })();
  }
}

/** The list of each consumer is that of the registry, and has every provider. */
function checkLists({ store, providers, consumers }: Cluster): string[] {
  const wrong: string[] = [];
  for (const { name, state } of [...providers, ...consumers])
    if (state !== 'running') wrong.push(`${name} is ${state} after the faults`);
  const all = store.list();
  const expected = providers.length * ENTRIES_PER_PROVIDER;
  if (all.length !== expected)
    wrong.push(`the registry has ${all.length} entries after the faults, expected ${expected}`);
  return wrong;
}

/** The nodes of each consumer. */
function checkNodes(name: string, { consumers }: ConsumerHost, providers: number): string[] {
  const wrong: string[] = [];
  for (const [strategy, consumer] of Object.entries(consumers)) {
    for (const contract of [Shop, TestService]) {
      const nodes = consumer.resolver(contract).nodes();
      const keys = new Set(nodes.map(nodeKey));
      if (keys.size !== providers || nodes.length !== providers)
        wrong.push(`${name}, ${strategy}: ${nodes.length} nodes of ${contract.name} are listed`);
    }
  }
  return wrong;
}

/** Closes everything. Returns what is left. */
async function closeAll(cluster: Cluster, { clock }: Simulation): Promise<string[]> {
  const left: string[] = [];
  const within = async (what: string, closing: Promise<unknown>): Promise<void> => {
    const late = clock.sleep(CLOSING).then(() => true);
    const isLate = await Promise.race([closing.then(() => false), late]);
    if (isLate) left.push(`${what} is not closed within ${CLOSING} ms`);
  };
  for (const host of cluster.consumers) {
    const started = await host.ready();
    left.push(...checkNodes(host.name, started, cluster.providers.length));
    const closing = host.run(async () => {
      for (const consumer of Object.values(started.consumers)) await consumer.close();
      await started.registry[Symbol.asyncDispose]();
    });
    await within(host.name, closing);
  }
  for (const host of cluster.providers) {
    const started = await host.ready();
    await within(
      host.name,
      host.run(() => started.close()),
    );
  }
  if (cluster.store.list().length > 0)
    left.push(`the registry keeps ${cluster.store.list().length} entries of closed providers`);
  const server = await cluster.registry.ready();
  await within(
    'registry',
    cluster.registry.run(async () => server[Symbol.asyncDispose]()),
  );
  await clock.sleep(CLOSING);
  for (const host of cluster.hosts) {
    const { process } = host as unknown as {
      process?: { timers: ReadonlyMap<number, unknown>; sockets: ReadonlySet<unknown> };
    };
    if (process === undefined) continue;
    if (process.timers.size > 0) left.push(`${host.name} keeps ${process.timers.size} timers`);
    if (process.sockets.size > 0) left.push(`${host.name} keeps ${process.sockets.size} sockets`);
  }
  return left;
}
