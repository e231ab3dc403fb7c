/** Random faults of hosts, links and entries. Each one ends by itself. */
import type { Host, LinkOptions, Random, Simulation } from '../../src/testing/simulation/index.js';
import type { Cluster } from './cluster.js';
import type { History } from './history.js';

const GOOD_LINK: LinkOptions = { latency: [1, 10], duplicate: 0.01, reorder: 0.01 };

export const FAULTS = [
  'crash',
  'crash of a provider',
  'pause',
  'partition',
  'one-way partition',
  'half-open streams',
  'loss',
  'reordering',
  'slow link',
  'clock jump',
  'orderly restart',
  'restart with another version',
  'flapping entry',
] as const;
export type FaultName = (typeof FAULTS)[number];

/** Milliseconds between two faults: the shortest and the longest. */
const PAUSES = [200, 10_000] as const;

export class Faults {
  readonly #simulation: Simulation;
  readonly #cluster: Cluster;
  readonly #history: History;
  /** Ends the faults that have not ended. */
  readonly #ends = new Set<() => void>();
  /** Hosts that are about to start with another version. */
  readonly #upgrading = new Set<Host>();
  /** Orderly restarts that have not ended. */
  #restarts = 0;
  /** How often each fault has happened. */
  readonly counts = new Map<FaultName, number>();

  constructor(simulation: Simulation, cluster: Cluster, history: History) {
    this.#simulation = simulation;
    this.#cluster = cluster;
    this.#history = history;
    this.#repairLinks();
  }

  #repairLinks(): void {
    const { hosts } = this.#cluster;
    for (const one of hosts)
      for (const other of hosts)
        if (one !== other) this.#simulation.network.oneWay(one, other, GOOD_LINK);
  }

  /** Whether no fault is in progress. */
  get isOver(): boolean {
    return this.#ends.size === 0 && this.#restarts === 0;
  }

  /** Causes faults until the time `end`, then ends all of them. */
  async run(end: number): Promise<void> {
    const { clock, random } = this.#simulation;
    for (;;) {
      const pause = random.integer(...PAUSES);
      if (clock.now + pause >= end) break;
      await clock.sleep(pause);
      this.#cause();
    }
    await clock.sleep(Math.max(0, end - clock.now));
    for (const endFault of [...this.#ends]) endFault();
  }

  /** Calls `end` after a random time, or when all faults end. */
  #endLater(longest: number, end: () => void): void {
    const { clock, random } = this.#simulation;
    const once = (): void => {
      if (this.#ends.delete(once)) end();
    };
    this.#ends.add(once);
    clock.at(clock.now + random.integer(500, longest), once);
  }

  #cause(): void {
    const { random } = this.#simulation;
    const name = random.pick(Object.keys(this.#causes) as FaultName[]);
    if (this.#causes[name]()) this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }

  /** Each returns false if it cannot happen at present. */
  readonly #causes: Readonly<Record<FaultName, () => boolean>> = {
    crash: () => this.#crash(this.#anyHost()),
    'crash of a provider': () => this.#crash(this.#anyProvider()),
    pause: () => this.#pause(this.#anyHost()),
    partition: () => this.#partition(false),
    'one-way partition': () => this.#partition(true),
    'half-open streams': () => this.#halfOpen(),
    loss: () => this.#changeLinks((random) => ({ loss: random() / 3 })),
    reordering: () =>
      this.#changeLinks((random) => ({ reorder: random() / 2, duplicate: random() / 4 })),
    'slow link': () =>
      this.#changeLinks((random) => ({
        latency: [10, random.integer(20, 400)],
        jitter: random.integer(0, 50),
        bandwidth: random.integer(10_000, 1_000_000),
      })),
    'clock jump': () => this.#jumpClock(),
    'orderly restart': () => this.#restartInOrder(this.#anyProvider()),
    'restart with another version': () => this.#restartWithAnotherVersion(),
    'flapping entry': () => this.#flap(this.#anyProvider().name),
  };

  #anyHost(): Host {
    return this.#simulation.random.pick(this.#cluster.hosts);
  }

  #anyProvider(): Cluster['providers'][number] {
    return this.#simulation.random.pick(this.#cluster.providers);
  }

  /** Two different hosts. */
  #anyPair(): readonly [Host, Host] {
    const one = this.#anyHost();
    const others = this.#cluster.hosts.filter((host) => host !== one);
    return [one, this.#simulation.random.pick(others)];
  }

  #crash(host: Host): boolean {
    if (host.state === 'crashed') return false;
    host.crash();
    this.#history.hostCrashed(host.name);
    this.#endLater(60_000, () => host.restart());
    return true;
  }

  #pause(host: Host): boolean {
    if (host.state !== 'running') return false;
    host.pause();
    this.#endLater(40_000, () => {
      if (host.state !== 'paused') return;
      this.#history.hostResumed(host.name);
      host.resume();
    });
    return true;
  }

  #partition(oneWay: boolean): boolean {
    const { random, network } = this.#simulation;
    const { hosts } = this.#cluster;
    const group = hosts.filter(() => random.chance(0.4));
    const others = hosts.filter((host) => !group.includes(host));
    if (group.length === 0 || others.length === 0) return false;
    network.partition(group, others, { oneWay });
    this.#endLater(40_000, () => network.heal());
    return true;
  }

  #halfOpen(): boolean {
    this.#simulation.network.halfOpen(...this.#anyPair());
    return true;
  }

  /** Changes the links of one host with some others, in both directions or in one. */
  #changeLinks(worse: (random: Random) => LinkOptions): boolean {
    const { random, network } = this.#simulation;
    const [one, other] = this.#anyPair();
    const set = random.chance(0.7)
      ? (options: LinkOptions) => network.between(one, other, options)
      : (options: LinkOptions) => network.oneWay(one, other, options);
    set({ ...GOOD_LINK, ...worse(random) });
    this.#endLater(60_000, () => set(GOOD_LINK));
    return true;
  }

  #jumpClock(): boolean {
    const { random } = this.#simulation;
    const direction = random.pick(['forward', 'backward'] as const);
    this.#anyHost().jumpClock(random.pick(['100ms', '5s', '1h', '30d']), direction);
    return true;
  }

  /** Closes the provider and starts it again. `change` is called between both. */
  #restartInOrder(host: Cluster['providers'][number], change = () => {}): boolean {
    if (host.state !== 'running') return false;
    const { trace, clock } = this.#simulation;
    trace(`${host.name} restarts in order`);
    this.#restarts++;
    void (async () => {
      try {
        const started = await host.ready();
        await host.run(() => started.close());
        await clock.sleep(100);
      } catch (error) {
        trace(`${host.name} did not end in order: ${error}`);
      }
      change();
      this.#restarts--;
      if (host.state === 'crashed') return;
      host.crash();
      this.#history.hostCrashed(host.name);
      host.restart();
    })();
    return true;
  }

  #restartWithAnotherVersion(): boolean {
    const { versions, upgraded } = this.#cluster;
    const host = this.#simulation.random.pick(upgraded);
    if (this.#upgrading.has(host)) return false;
    this.#upgrading.add(host);
    const hasBegun = this.#restartInOrder(host, () => {
      this.#upgrading.delete(host);
      const version = this.#cluster.versionOf(host.name) === '1.0' ? '2.0' : '1.0';
      versions.set(host.name, version);
      this.#simulation.trace(`${host.name} has version ${version}`);
    });
    if (!hasBegun) this.#upgrading.delete(host);
    return hasBegun;
  }

  /** The entries of a host are removed from the lists and return, several times. */
  #flap(name: string): boolean {
    const { clock, random } = this.#simulation;
    const { store } = this.#cluster;
    let isHidden = false;
    let isOver = false;
    const toggle = (): void => {
      if (isOver) return;
      isHidden = !isHidden;
      store.setHidden(name, isHidden);
      clock.at(clock.now + random.integer(100, 3_000), toggle);
    };
    toggle();
    this.#endLater(20_000, () => {
      isOver = true;
      store.setHidden(name, false);
    });
    return true;
  }
}
