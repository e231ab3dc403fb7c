/** All nodes and services of a target, their history, and what happens to them. */
import { messageOf } from '../../../core/errors.js';
import { redactUrl } from '../../../core/redact.js';
import { pause } from '../../../core/timers.js';
import type { ServiceNode } from '../../../micro/index.js';
import { printable } from '../../output/printable.js';
import type { ConnectionOptions } from '../../target/connection-options.js';
import type { Target } from '../../target/target.js';
import type { Terminal } from '../../terminal.js';
import type { FleetHistory, FleetStart, FleetUpdate, TargetState } from '../types.js';
import { EventLog } from './event-log.js';
import { FleetNode } from './fleet-node.js';
import { eventOf, type NodeChange, type NodeEvent } from './node-change.js';
import { servicesByAddress, weightsOf } from './published-services.js';
import { SeriesClock } from './series.js';
import { ServiceTable } from './service-table.js';

/** The most nodes; further ones are left out. */
const MAX_NODES = 500;
/** Milliseconds that a node is still shown after it has left the registry. */
const GONE_PERIOD = 60_000;
/**
 * Milliseconds after which the points of a second are taken. A node that has not answered until
 * then repeats its last point.
 */
const ANSWER_WAIT = 500;

export class Fleet implements Disposable {
  readonly events = new EventLog();
  readonly #target: Target;
  readonly #options: ConnectionOptions;
  readonly #terminal: Terminal;
  /** By key. */
  readonly #nodes = new Map<string, FleetNode>();
  readonly #clock = new SeriesClock();
  readonly #services = new ServiceTable(this.events);
  /** Resolves at the end of the second. */
  #second = new Deferred();
  #isAway = false;
  #awayReason = '';
  #omittedNodes = 0;
  #hasList = false;

  constructor(target: Target, options: ConnectionOptions, terminal: Terminal) {
    this.#target = target;
    this.#options = options;
    this.#terminal = terminal;
    if (target.kind === 'address') this.#add(target.url, 'server');
  }

  get url(): string {
    return printable(redactUrl(this.#target.url), 300);
  }

  node(key: string): FleetNode | undefined {
    return this.#nodes.get(key);
  }

  /** The nodes that offer a service. */
  nodesOf(name: string, version: string): FleetNode[] {
    return [...this.#nodes.values()].filter(
      ({ services, state }) =>
        state !== 'gone' &&
        services.some((service) => service.name === name && service.version === version),
    );
  }

  /** Takes over the nodes of a list of the registry. */
  follow(list: readonly ServiceNode[]): void {
    const published = servicesByAddress(list);
    for (const node of this.#nodes.values())
      if (!published.has(node.key) && node.isPublished) {
        node.setUnpublished();
        this.#log(node, { kind: 'node', level: 'warning', text: 'left the registry' });
      }
    this.#omittedNodes = 0;
    for (const [key, { address, id, services }] of published) {
      const known = this.#nodes.get(key);
      if (known === undefined && this.#nodes.size >= MAX_NODES) {
        this.#omittedNodes++;
        continue;
      }
      const node = known ?? this.#add(address, id);
      if (known === undefined && this.#hasList)
        this.#log(node, { kind: 'node', level: 'good', text: 'is in the registry' });
      if (!node.isPublished) {
        node.setPublished();
        this.#log(node, { kind: 'node', level: 'good', text: 'is in the registry again' });
      }
      const before = weightsOf(node.services);
      const weights = weightsOf(services);
      if (known !== undefined && before !== '' && before !== weights)
        this.#log(node, {
          kind: 'weight',
          level: 'info',
          text: `has the weight ${weights}, and had ${before}`,
        });
      node.id = id;
      node.services = services;
    }
    this.#hasList = true;
  }

  #add(address: string, id: string): FleetNode {
    const node = new FleetNode(
      address,
      this.#target.kind === 'registry',
      this.#options,
      this.#terminal,
      (...change) => this.#onNodeChange(...change),
    );
    node.id = id;
    this.#nodes.set(node.key, node);
    return node;
  }

  /** `reason`: why the registry does not answer. Undefined: it answers. */
  setAway(reason: string | undefined): void {
    if ((reason !== undefined) === this.#isAway) return;
    this.#isAway = reason !== undefined;
    this.#awayReason = reason === undefined ? '' : printable(reason, 300);
    this.events.add(
      this.#isAway
        ? { kind: 'registry', level: 'bad', text: `the registry is away: ${this.#awayReason}` }
        : { kind: 'registry', level: 'good', text: 'the registry answers again' },
    );
  }

  #onNodeChange(node: FleetNode, change: NodeChange): void {
    const event = eventOf(change);
    if (event !== undefined) this.#log(node, event);
  }

  #log({ id, key }: FleetNode, { kind, level, text }: NodeEvent): void {
    this.events.add({ kind, level, text: `${id} at ${key} ${text}`, node: key });
  }

  /** Asks all nodes each second, until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    this.events.add({ kind: 'console', level: 'info', text: `the console watches ${this.url}` });
    do await this.#addSecond(signal);
    while (await pause(1_000 - (Date.now() % 1_000), signal));
  }

  async #addSecond(signal: AbortSignal): Promise<void> {
    const asked = Promise.all([...this.#nodes.values()].map((node) => node.ask()));
    const wait = new AbortController();
    await Promise.race([asked, pause(ANSWER_WAIT, wait.signal)]);
    wait.abort();
    if (signal.aborted) return;
    this.#removeGone();
    const nodes = [...this.#nodes.values()];
    this.#services.update(nodes, this.#clock);
    for (const node of nodes) node.series.add(this.#clock, node.row.point);
    this.#clock.advance(Date.now());
    const second = this.#second;
    this.#second = new Deferred();
    second.resolve();
  }

  #removeGone(): void {
    const now = performance.now();
    for (const node of this.#nodes.values())
      if (node.state === 'gone' && now - (node.leftAt ?? now) > GONE_PERIOD) {
        node.close();
        this.#nodes.delete(node.key);
      }
  }

  /** The state now, without events. */
  update(): FleetUpdate {
    return {
      type: 'update',
      time: this.#clock.last,
      target: this.#targetState(),
      services: this.#services.rows,
      nodes: [...this.#nodes.values()].sort(byPlace).map(({ row }) => row),
      omitted: this.#omittedNodes + this.#services.omitted,
      events: [],
    };
  }

  #targetState(): TargetState {
    const { kind } = this.#target;
    return { kind, url: this.url, isAway: this.#isAway, reason: this.#awayReason };
  }

  /**
   * The start of a watch, and then the histories of all services and nodes. All of them have the
   * points of one moment, although a slow page takes seconds to receive them.
   */
  *histories(isAdminAllowed: boolean): Iterable<FleetStart | FleetHistory> {
    const clock = this.#clock;
    const { count } = clock;
    yield { type: 'start', isAdminAllowed, times: clock.times() };
    for (const { name, version, series } of this.#services.all())
      yield { type: 'history', service: { name, version }, ...series.history(clock, count) };
    for (const { key, series } of this.#nodes.values())
      yield { type: 'history', node: key, ...series.history(clock, count) };
  }

  /** Resolves when the points of the next second are there. */
  nextSecond(): Promise<void> {
    return this.#second.promise;
  }

  [Symbol.dispose](): void {
    for (const node of this.#nodes.values()) node.close();
  }
}

/** By id and address. Nodes that have left the registry are last. */
function byPlace(a: FleetNode, b: FleetNode): number {
  if ((a.state === 'gone') !== (b.state === 'gone')) return a.state === 'gone' ? 1 : -1;
  return a.id + a.key < b.id + b.key ? -1 : 1;
}

/** A promise, and the function that resolves it. */
class Deferred {
  resolve: () => void = () => {};
  readonly promise = new Promise<void>((resolve) => {
    this.resolve = resolve;
  });
}

/** Asks for the nodes of a registry each second, until `signal` aborts. `list` may reject. */
export async function followRegistry(
  fleet: Fleet,
  list: () => Promise<readonly ServiceNode[]>,
  signal: AbortSignal,
): Promise<void> {
  do {
    try {
      const nodes = await list();
      if (signal.aborted) return;
      fleet.setAway(undefined);
      fleet.follow(nodes);
    } catch (error) {
      if (signal.aborted) return;
      fleet.setAway(messageOf(error));
    }
  } while (await pause(1_000, signal));
}
