/** The hosts and links of one simulation. */
import { badOption, checkNames } from '../../../core/options.js';
import type { SimulatedProcess } from '../context.js';
import type { HostName, LinkOptions, Network } from '../types.js';
import type { World } from '../world.js';
import { checkLink, Link } from './link.js';

/** Ports that are given to clients, and to servers that listen at port 0. */
const FIRST_FREE_PORT = 49_152;
const LAST_PORT = 65_535;

/** What a port of a host can be used for: `sim` for streams, `simudp` for datagrams. */
export type PortKind = 'sim' | 'simudp';

/** The state of a host that the network needs. */
export interface NetworkHost {
  readonly name: string;
  /** Whether its system runs. After kill() it runs without a process. */
  isUp: boolean;
  /** Undefined while no process runs. */
  process: SimulatedProcess | undefined;
  /** The users of the ports of the present process, by kind and port. */
  readonly ports: Map<string, unknown>;
  /** The port that was opened last for a user without a port of its own. */
  lastPort: number;
}

/** A stream that is open, for halfOpen(). */
export interface OpenStream {
  readonly hosts: readonly [string, string];
  /** True: the network loses its packets, and informs neither side. */
  isForgotten: boolean;
}

const networks = new WeakMap<World, SimulatedNetwork>();

/** The network of a simulation. */
export function networkOf(world: World): SimulatedNetwork | undefined {
  return networks.get(world);
}

export class SimulatedNetwork implements Network {
  readonly world: World;
  readonly streams = new Set<OpenStream>();
  readonly #hosts = new Map<string, NetworkHost>();
  readonly #links = new Map<string, Link>();
  readonly #defaultLink: LinkOptions;
  readonly #loopback: Link;
  /** Of each partition, the pairs of hosts, as `from>to`, whose packets are lost. */
  readonly #partitions = new Set<ReadonlySet<string>>();

  constructor(world: World, defaultLink: LinkOptions) {
    this.world = world;
    this.#defaultLink = defaultLink;
    networks.set(world, this);
    this.#loopback = new Link(world.networkRandom, { latency: 0 });
  }

  addHost(name: string): NetworkHost {
    const host = {
      name,
      isUp: false,
      process: undefined,
      ports: new Map(),
      lastPort: FIRST_FREE_PORT - 1,
    };
    this.#hosts.set(name, host);
    return host;
  }

  findHost(name: string): NetworkHost | undefined {
    return this.#hosts.get(name);
  }

  isOpen(from: string, to: string): boolean {
    if (this.#partitions.size === 0) return true;
    const pair = `${from}>${to}`;
    for (const pairs of this.#partitions) if (pairs.has(pair)) return false;
    return true;
  }

  link(from: string, to: string): Link {
    if (from === to) return this.#loopback;
    const key = `${from}>${to}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = new Link(this.world.networkRandom, this.#defaultLink);
      this.#links.set(key, link);
    }
    return link;
  }

  /** Opens a port for `user`; 0 selects a free one. Returns undefined if the port is in use. */
  openPort(host: NetworkHost, kind: PortKind, port: number, user: unknown): number | undefined {
    let number = port;
    for (let tries = LAST_PORT - FIRST_FREE_PORT; number === 0 && tries >= 0; tries--) {
      host.lastPort = host.lastPort < LAST_PORT ? host.lastPort + 1 : FIRST_FREE_PORT;
      if (!host.ports.has(`${kind} ${host.lastPort}`)) number = host.lastPort;
    }
    const key = `${kind} ${number}`;
    if (number === 0 || host.ports.has(key)) return undefined;
    host.ports.set(key, user);
    return number;
  }

  /** Closes a port, unless another user has opened it. */
  closePort(host: NetworkHost, kind: PortKind, port: number, user: unknown): void {
    const key = `${kind} ${port}`;
    if (host.ports.get(key) === user) host.ports.delete(key);
  }

  #nameOf(option: string, given: HostName): string {
    const name = typeof given === 'string' ? given : given?.name;
    if (typeof name === 'string' && this.#hosts.has(name)) return name;
    throw badOption(
      option,
      name,
      `the name of a host: ${[...this.#hosts.keys()].map((host) => JSON.stringify(host)).join(', ')}`,
    );
  }

  oneWay(from: HostName, to: HostName, options: LinkOptions): void {
    const [first, second] = [this.#nameOf('from', from), this.#nameOf('to', to)];
    checkLink('the link', options);
    if (first === second) throw badOption('to', second, 'another host');
    this.link(first, second).set({ ...this.#defaultLink, ...options });
  }

  between(one: HostName, other: HostName, options: LinkOptions): void {
    this.oneWay(one, other, options);
    this.oneWay(other, one, options);
  }

  partition(
    group: readonly HostName[],
    others: readonly HostName[],
    options: { readonly oneWay?: boolean } = {},
  ): () => void {
    checkNames('partition()', options, { oneWay: true });
    if (!Array.isArray(group)) throw badOption('group', group, 'an array of hosts');
    if (!Array.isArray(others)) throw badOption('others', others, 'an array of hosts');
    const first = group.map((host) => this.#nameOf('group', host));
    const second = others.map((host) => this.#nameOf('others', host));
    const pairs = new Set<string>();
    for (const one of first) {
      for (const other of second) {
        if (one === other) continue;
        pairs.add(`${one}>${other}`);
        if (options.oneWay !== true) pairs.add(`${other}>${one}`);
      }
    }
    this.#partitions.add(pairs);
    const arrow = options.oneWay === true ? '->' : '<->';
    const groups = `${first} ${arrow} ${second}`;
    this.world.trace.add('network', `partition ${groups}`);
    return () => {
      if (this.#partitions.delete(pairs)) this.world.trace.add('network', `heal ${groups}`);
    };
  }

  heal(): void {
    this.#partitions.clear();
    this.world.trace.add('network', 'heal');
  }

  halfOpen(one: HostName, other: HostName): void {
    const [first, second] = [this.#nameOf('one', one), this.#nameOf('other', other)];
    for (const stream of this.streams) {
      const [a, b] = stream.hosts;
      if ((a === first && b === second) || (a === second && b === first)) stream.isForgotten = true;
    }
    this.world.trace.add('network', `forgets the streams of ${first} and ${second}`);
  }
}
