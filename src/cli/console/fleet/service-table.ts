/** The services of all nodes, with their history. */

import { printable } from '../../output/printable.js';
import { isAnswering, NO_POINT, type ServiceRow } from '../types.js';
import { ErrorAlarm } from './error-alarm.js';
import type { EventLog } from './event-log.js';
import type { FleetNode } from './fleet-node.js';
import type { TimedRate } from './latency-window.js';
import { pointOf, sumOf } from './points.js';
import { Series, type SeriesClock } from './series.js';

/** The most services. Further ones have no row. */
const MAX_SERVICES = 200;
/** Seconds that a service is kept without a node. */
const KEPT_SECONDS = 60;

interface TableEntry {
  readonly name: string;
  readonly version: string;
  readonly series: Series;
  readonly alarm: ErrorAlarm;
  secondsWithoutNode: number;
}

interface ServiceNodes {
  readonly groups: Set<string>;
  readonly nodes: FleetNode[];
  readonly rates: TimedRate[];
}

const keyOf = (name: string, version: string): string => JSON.stringify([name, version]);

export class ServiceTable {
  readonly #entries = new Map<string, TableEntry>();
  readonly #events: EventLog;
  rows: readonly ServiceRow[] = [];
  readonly #omitted = new Set<string>();

  constructor(events: EventLog) {
    this.#events = events;
  }

  /** How many services are left out. */
  get omitted(): number {
    return this.#omitted.size;
  }

  all(): Iterable<Pick<TableEntry, 'name' | 'version' | 'series'>> {
    return this.#entries.values();
  }

  /** Adds the points of one second. */
  update(nodes: readonly FleetNode[], clock: SeriesClock): void {
    const found = this.#collect(nodes.filter(({ state }) => state !== 'gone'));
    const rows: ServiceRow[] = [];
    for (const [key, entry] of this.#entries) {
      const service = found.get(key);
      entry.secondsWithoutNode = service === undefined ? entry.secondsWithoutNode + 1 : 0;
      if (entry.secondsWithoutNode > KEPT_SECONDS) {
        this.#entries.delete(key);
        continue;
      }
      rows.push(this.#addSecond(entry, service, clock));
    }
    this.rows = rows.sort((a, b) => (a.name + a.version < b.name + b.version ? -1 : 1));
  }

  /** What the nodes offer and have served, by service. */
  #collect(nodes: readonly FleetNode[]): Map<string, ServiceNodes> {
    const found = new Map<string, ServiceNodes>();
    this.#omitted.clear();
    for (const node of nodes) {
      for (const { name, version, group } of node.services) {
        const service = this.#serviceOf(found, name, version);
        if (service === undefined) continue;
        service.groups.add(group);
        if (service.nodes.at(-1) !== node) service.nodes.push(node);
      }
      for (const rate of node.rates) {
        const service = found.get(keyOf(printable(rate.service), printable(rate.version)));
        // Calls of a service that the node does not publish belong to the node alone.
        if (service?.nodes.at(-1) === node) service.rates.push(rate);
      }
    }
    return found;
  }

  #serviceOf(
    found: Map<string, ServiceNodes>,
    name: string,
    version: string,
  ): ServiceNodes | undefined {
    const key = keyOf(name, version);
    let service = found.get(key);
    if (service !== undefined) return service;
    if (!this.#entries.has(key)) {
      if (this.#entries.size >= MAX_SERVICES) {
        this.#omitted.add(key);
        return undefined;
      }
      this.#entries.set(key, {
        name,
        version,
        series: new Series(),
        alarm: new ErrorAlarm(),
        secondsWithoutNode: 0,
      });
    }
    service = { groups: new Set(), nodes: [], rates: [] };
    found.set(key, service);
    return service;
  }

  #addSecond(
    { name, version, series, alarm }: TableEntry,
    service: ServiceNodes | undefined,
    clock: SeriesClock,
  ): ServiceRow {
    const { nodes = [], rates = [], groups = [] } = service ?? {};
    const answering = nodes.filter(({ state }) => isAnswering(state)).length;
    const point = answering === 0 ? NO_POINT : pointOf(rates);
    series.add(clock, point);
    const change = alarm.add(point[0] ?? 0, point[1] ?? 0);
    if (change !== undefined) {
      const percent =
        `${(change.share * 100).toFixed(1)} % of the calls of ${name} ${version}`.trim();
      this.#events.add({
        kind: 'errors',
        level: change.isRaised ? 'bad' : 'good',
        text: change.isRaised ? `${percent} fail` : `${percent} fail: the errors are over`,
      });
    }
    return {
      name,
      version,
      groups: [...groups].filter((group) => group !== '').slice(0, 20),
      nodes: nodes.length,
      answering,
      inFlight: sumOf(rates, ({ inFlight }) => inFlight),
      point,
    };
  }
}
