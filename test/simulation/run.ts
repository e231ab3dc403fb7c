/** One simulation of providers, consumers and a registry with random faults, and its checks. */
import { RPC_DEFAULTS } from '../../src/rpc/options.js';
import { type Simulation, simulate } from '../../src/testing/simulation/index.js';
import { Cluster, HEARTBEAT_PERIOD, REGISTRY_TTL } from './cluster.js';
import { type FaultName, Faults } from './faults.js';
import { History } from './history.js';
import type { InjectedBug } from './injected-bugs.js';
import { ResourceLedger } from './resource-ledger.js';
import { Workload } from './workload.js';

export interface ClusterReport {
  readonly seed: number;
  readonly traceHash: string;
  readonly traceLines: number;
  readonly calls: number;
  /** Outcomes by kind and code. */
  readonly counts: Readonly<Record<string, number>>;
  readonly faults: Readonly<Partial<Record<FaultName, number>>>;
  /** Virtual milliseconds. */
  readonly duration: number;
  /** Milliseconds from the end of the faults until all lists were right and all calls succeeded. */
  readonly recovery: number;
  /** What went wrong. Empty: nothing. */
  readonly violations: readonly string[];
}

export interface ClusterOptions {
  readonly onTrace?: ((line: string) => void) | undefined;
  readonly bug?: InjectedBug | undefined;
}

/**
 * Milliseconds after the end of all faults by which every list must be right and every call must
 * succeed. A stream through a partition sends again after at most twice its length; heartbeats end
 * it earlier. Entries of hosts that have crashed expire.
 */
const RECOVERY = 60_000 + REGISTRY_TTL;
const RECOVERY_CHECK_PERIOD = 500;
/** Milliseconds after the end of all faults by which heartbeats have ended each dead stream. */
const DEAD_STREAMS = HEARTBEAT_PERIOD + RPC_DEFAULTS.heartbeatTimeout + 2_000;
/** Milliseconds after the end of the calls by which each must have its outcome and have run. */
const LAST_CALLS = 10_000;
/** Milliseconds for orderly ends. */
const CLOSING = 30_000;
const CLOSING_CHECK_PERIOD = 100;
/** Milliseconds until all hosts have started. */
const START = 2_000;
/** Milliseconds for all that is not faults, at most. */
const REST = 600_000;

/** `seconds`: how long the faults last, in virtual time. */
export async function runCluster(
  seed: number,
  seconds: number,
  { onTrace, bug = {} }: ClusterOptions = {},
): Promise<ClusterReport> {
  using ledger = new ResourceLedger();
  const { value, traceHash, traceLines } = await simulate(
    { seed, onTrace, duration: seconds * 1_000 + REST },
    async (simulation) => {
      const run = new ClusterRun(simulation, bug, ledger);
      await run.run(seconds);
      return run;
    },
  );
  const { history, faults, recovery, duration } = value;
  return {
    seed,
    traceHash,
    traceLines,
    duration,
    recovery,
    calls: history.size,
    counts: Object.fromEntries(history.counts),
    faults: Object.fromEntries(faults.counts),
    violations: history.violations,
  };
}

class ClusterRun {
  readonly #simulation: Simulation;
  readonly #bug: InjectedBug;
  readonly #ledger: ResourceLedger;
  readonly #cluster: Cluster;
  readonly history: History;
  readonly faults: Faults;
  recovery = 0;
  duration = 0;

  constructor(simulation: Simulation, bug: InjectedBug, ledger: ResourceLedger) {
    this.#simulation = simulation;
    this.#bug = bug;
    this.#ledger = ledger;
    this.history = new History(() => simulation.clock.now, simulation.trace);
    this.#cluster = new Cluster(simulation, this.history);
    this.faults = new Faults(simulation, this.#cluster, this.history);
  }

  async run(seconds: number): Promise<void> {
    const { clock } = this.#simulation;
    await clock.sleep(START);
    const end = clock.now + seconds * 1_000;
    this.#keepCalling(end);
    await this.faults.run(end);
    this.#bug.onFaultsEnd?.(this.#cluster);
    this.history.violations.push(...(await this.#recover(end)));
    this.recovery = clock.now - end;
    await this.#until(LAST_CALLS, 100, () => this.history.unfinishedCalls === 0);
    this.history.check();
    this.history.violations.push(...(await this.#closeAll()));
    this.duration = clock.now;
  }

  /** Waits until `isDone`, for at most `limit` ms. */
  async #until(limit: number, period: number, isDone: () => boolean): Promise<void> {
    const { clock } = this.#simulation;
    for (const end = clock.now + limit; clock.now < end && !isDone(); ) await clock.sleep(period);
  }

  #workload(host: string): Workload {
    return new Workload(this.#simulation, this.history, host, this.#bug);
  }

  /** Each process of a consumer host makes calls until the time `end`. */
  #keepCalling(end: number): void {
    const { clock, trace } = this.#simulation;
    for (const host of this.#cluster.consumers) {
      void (async () => {
        while (clock.now < end) {
          try {
            const started = await host.ready();
            await host.run(() => this.#workload(host.name).run(started, end));
          } catch (error) {
            trace(`${host.name} makes no calls: ${error}`);
            await clock.sleep('1s');
          }
        }
      })();
    }
  }

  /** Waits until all lists are right and all calls succeed. Returns what is wrong at the end. */
  async #recover(faultsEnd: number): Promise<string[]> {
    const { clock } = this.#simulation;
    for (;;) {
      const wrong = this.faults.isOver
        ? await this.#cluster.wrongLists()
        : ['an orderly restart has not ended'];
      // Until then a oneway call can be lost in a stream whose other end is gone.
      const isEarly = clock.now - faultsEnd < DEAD_STREAMS;
      if (wrong.length === 0 && !isEarly) {
        wrong.push(...(await this.#callAll()));
        if (wrong.length === 0) return [];
      }
      if (clock.now - faultsEnd >= RECOVERY)
        return wrong.map((what) => `${RECOVERY} ms after the faults: ${what}`);
      await clock.sleep(RECOVERY_CHECK_PERIOD);
    }
  }

  /** Returns the calls that have failed. */
  async #callAll(): Promise<string[]> {
    const failures = this.#cluster.consumers.map(async (host) => {
      const started = await host.ready();
      return host.run(() => this.#workload(host.name).runAll(started));
    });
    return (await Promise.all(failures)).flat();
  }

  /** Closes everything. Returns what is left. */
  async #closeAll(): Promise<string[]> {
    const { hosts, providers, consumers, registry, store } = this.#cluster;
    const left: string[] = [];
    const close = async <T>(
      host: { name: string; state: string; ready(): Promise<T>; run(act: () => unknown): unknown },
      act: (started: T) => Promise<unknown>,
    ): Promise<void> => {
      if (host.state !== 'running') return;
      let isClosed = false;
      void (async () => {
        const started = await host.ready();
        await host.run(() => act(started));
        isClosed = true;
      })();
      await this.#until(CLOSING, CLOSING_CHECK_PERIOD, () => isClosed);
      if (!isClosed) left.push(`${host.name} is not closed within ${CLOSING} ms`);
    };
    await Promise.all(
      consumers.map((host) =>
        close(host, async (started) => {
          await Promise.all(Object.values(started.consumers).map((consumer) => consumer.close()));
          await started.registry[Symbol.asyncDispose]();
        }),
      ),
    );
    await Promise.all(providers.map((host) => close(host, (started) => started.close())));
    if (store.list().length > 0)
      left.push(`the registry keeps ${store.list().length} entries of closed providers`);
    await close(registry, async (server) => server[Symbol.asyncDispose]());
    await this.#until(CLOSING, CLOSING_CHECK_PERIOD, () => this.#ledger.left(hosts).length === 0);
    return [...left, ...this.#ledger.left(hosts)];
  }
}
