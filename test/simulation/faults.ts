/** Random faults of hosts and links. Each one ends by itself. */
import type { Host, LinkOptions, Simulation } from '../../src/testing/simulation/index.js';
import type { Cluster } from './cluster.js';
import type { History } from './history.js';

const GOOD_LINK: LinkOptions = { latency: [1, 10], duplicate: 0.01, reorder: 0.01 };

export class Faults {
  readonly #simulation: Simulation;
  readonly #cluster: Cluster;
  readonly #history: History;
  /** Ends the faults that have not ended. */
  readonly #ends = new Set<() => void>();

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

  /** Causes faults until the time `end`, then ends all of them. */
  async run(end: number): Promise<void> {
    const { clock, random } = this.#simulation;
    for (;;) {
      const pause = random.integer(2_000, 40_000);
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
    const { random, network } = this.#simulation;
    const { hosts, providers, consumers, registry } = this.#cluster;
    const causes: (() => void)[] = [
      () => this.#crash(random.pick(providers)),
      () => this.#crash(random.pick([...providers, ...consumers, registry])),
      () => this.#pause(random.pick([...providers, ...consumers, registry])),
      () => this.#partition(),
      () => network.halfOpen(random.pick(consumers), random.pick([...providers, registry])),
      () => this.#slowLink(random.pick(hosts), random.pick(hosts)),
      () => this.#restartInOrder(random.pick(providers)),
      () => random.pick(hosts).jumpClock('1h', random.pick(['forward', 'backward'])),
    ];
    random.pick(causes)();
  }

  #crash(host: Host): void {
    if (host.state === 'crashed') return;
    host.crash();
    this.#history.hostCrashed(host.name);
    this.#endLater(120_000, () => host.restart());
  }

  #pause(host: Host): void {
    if (host.state !== 'running') return;
    host.pause();
    this.#endLater(60_000, () => {
      if (host.state !== 'paused') return;
      this.#history.hostResumed(host.name);
      host.resume();
    });
  }

  #partition(): void {
    const { random, network } = this.#simulation;
    const { hosts } = this.#cluster;
    const group = hosts.filter(() => random.chance(0.4));
    const others = hosts.filter((host) => !group.includes(host));
    network.partition(group, others, { oneWay: random.chance(0.3) });
    this.#endLater(90_000, () => network.heal());
  }

  #slowLink(one: Host, other: Host): void {
    if (one === other) return;
    const { random, network } = this.#simulation;
    network.between(one, other, {
      latency: [10, random.integer(20, 400)],
      jitter: random.integer(0, 50),
      loss: random() / 5,
      duplicate: random() / 5,
      reorder: random() / 5,
      bandwidth: random.integer(10_000, 1_000_000),
    });
    this.#endLater(60_000, () => network.between(one, other, GOOD_LINK));
  }

  /** Closes the provider, which must lose no call, and starts it again. */
  #restartInOrder(host: Cluster['providers'][number]): void {
    if (host.state !== 'running') return;
    const { trace, clock } = this.#simulation;
    trace(`${host.name} restarts in order`);
    void (async () => {
      try {
        const started = await host.ready();
        await host.run(() => started.close());
        await clock.sleep(100);
        if (host.state === 'running') {
          host.crash();
          this.#history.hostCrashed(host.name);
          host.restart();
        }
      } catch (error) {
        trace(`${host.name} did not restart in order: ${error}`);
        if (host.state === 'running') {
          host.crash();
          this.#history.hostCrashed(host.name);
          host.restart();
        }
      }
    })();
  }
}
