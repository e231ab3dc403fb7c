/** All services and nodes, and the newest events. */
import {
  type FleetEvent,
  isAnswering,
  NO_POINT,
  type NodeRow,
  type Point,
  type ServiceRow,
} from '../../types.js';
import { h } from '../dom.js';
import { type FleetStore, serviceKey } from '../fleet-store.js';
import { count, serviceName } from '../format.js';
import { LiveTable, linkCell } from '../live-table.js';
import {
  PointTiles,
  pointColumns,
  section,
  stateColumn,
  Tile,
  tiles,
  type View,
} from '../parts.js';
import { link, nodeLink, serviceLink } from '../router.js';
import { eventColumns } from './events.js';

const SHOWN_EVENTS = 8;

export class Overview implements View {
  readonly title = 'Overview';
  readonly element: HTMLElement;
  readonly #store: FleetStore;
  readonly #total = new PointTiles();
  readonly #nodeTile = new Tile('Nodes');
  readonly #services: LiveTable<ServiceRow>;
  readonly #nodes: LiveTable<NodeRow>;
  readonly #events = new LiveTable<FleetEvent>(
    'Last events',
    eventColumns(),
    ({ number }) => String(number),
    'Nothing has happened yet.',
    ({ level }) => level,
  );
  readonly #omitted = h('p', { class: 'note', hidden: true });

  constructor(store: FleetStore) {
    this.#store = store;
    this.#services = serviceTable(store);
    this.#nodes = nodeTable(store);
    this.element = h(
      'div',
      {},
      h('h1', { tabindex: '-1', class: 'hidden' }, 'Overview'),
      tiles(this.#nodeTile, ...this.#total.list),
      section('Services', this.#services.element, this.#omitted),
      h(
        'div',
        { class: 'columns' },
        section('Nodes', this.#nodes.element),
        section(
          'Last events',
          this.#events.element,
          h('p', { class: 'more' }, h('a', { href: link('events') }, 'All events')),
        ),
      ),
    );
  }

  update(): void {
    const { update, events } = this.#store;
    if (update === undefined) return;
    const { services, nodes, omitted } = update;
    const there = nodes.filter(({ state }) => state !== 'gone');
    const answering = there.filter(({ state }) => isAnswering(state)).length;
    this.#nodeTile.show(
      answering === there.length ? count(there.length) : `${answering} of ${there.length}`,
      answering === there.length ? 'plain' : 'bad',
    );
    this.#total.show(
      totalOf(there.map(({ point }) => point)),
      there.reduce((sum, { inFlight }) => sum + inFlight, 0),
    );
    this.#services.show(services);
    this.#nodes.show(nodes);
    this.#events.show(events.slice(0, SHOWN_EVENTS));
    this.#omitted.hidden = omitted === 0;
    this.#omitted.textContent = `There are ${count(omitted)} more nodes or services, which the console leaves out.`;
  }
}

function serviceTable(store: FleetStore): LiveTable<ServiceRow> {
  return new LiveTable<ServiceRow>(
    'Services',
    [
      {
        title: 'Service',
        content: linkCell<ServiceRow>(
          serviceName,
          ({ name, version }) => serviceLink(name, version),
          ({ groups }) => (groups.length === 0 ? '' : `groups ${groups.join(', ')}`),
        ),
      },
      {
        title: 'Nodes',
        class: 'number',
        text: ({ nodes, answering }) =>
          answering === nodes ? count(nodes) : `${answering} of ${nodes}`,
      },
      ...pointColumns<ServiceRow>(({ name, version }) =>
        store.services.get(serviceKey(name, version)),
      ),
    ],
    ({ name, version }) => serviceKey(name, version),
    'No node offers a service. Is it the root or directory that providers use?',
    ({ nodes, answering }) => (answering < nodes ? 'attention' : ''),
  );
}

function nodeTable(store: FleetStore): LiveTable<NodeRow> {
  return new LiveTable<NodeRow>(
    'Nodes',
    [
      {
        title: 'Node',
        content: linkCell(
          ({ id }) => id,
          ({ key }) => nodeLink(key),
          ({ key }) => key,
        ),
      },
      stateColumn<NodeRow>((row) => row),
      ...pointColumns<NodeRow>(({ key }) => store.nodes.get(key)).slice(0, 1),
    ],
    ({ key }) => key,
    'There are no nodes.',
    ({ state }) => (state === 'gone' ? 'gone' : ''),
  );
}

/** The calls of all points. Its percentiles are the largest ones of the points. */
function totalOf(points: readonly Point[]): Point {
  const known = points.filter(([rate]) => rate !== null);
  if (known.length === 0) return NO_POINT;
  const sum = (at: 0 | 1): number => known.reduce((total, point) => total + (point[at] ?? 0), 0);
  const max = (at: 2 | 3): number | null => {
    const values = known.flatMap((point) => point[at] ?? []);
    return values.length === 0 ? null : Math.max(...values);
  };
  return [sum(0), sum(1), max(2), max(3)];
}
