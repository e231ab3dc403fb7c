/** One service: its nodes, its methods, and up to 15 minutes of its calls. */
import { messageOf } from '../../../../core/errors.js';
import {
  isAnswering,
  type MethodRow,
  NO_POINT,
  type NodeRow,
  type OfferedService,
  type ServiceDetail,
  type ServiceNodeRow,
} from '../../types.js';
import { Chart, latencyChart } from '../chart.js';
import { h, setText } from '../dom.js';
import { type FleetStore, serviceKey } from '../fleet-store.js';
import { count, errorShare, milliseconds, percent, rate, serviceName } from '../format.js';
import { type LiveColumn, LiveTable, linkCell } from '../live-table.js';
import {
  methodColumns,
  methodKey,
  PointTiles,
  section,
  stateColumn,
  Tile,
  tiles,
  type View,
  viewHeader,
} from '../parts.js';
import { nodeLink } from '../router.js';

interface NodeOfService {
  readonly node: NodeRow;
  readonly offered: OfferedService;
  readonly calls: ServiceNodeRow | undefined;
  /** Percent of the calls of the service. */
  readonly share: number | null;
}

const NODE_COLUMNS: readonly LiveColumn<NodeOfService>[] = [
  {
    title: 'Node',
    content: linkCell(
      ({ node }) => node.id,
      ({ node }) => nodeLink(node.key),
      ({ node }) => node.key,
    ),
  },
  stateColumn(({ node }) => node),
  { title: 'Group', class: 'minor', text: ({ offered }) => offered.group || '–' },
  { title: 'Codecs', class: 'minor', text: ({ offered }) => offered.codecs.join(', ') },
  { title: 'Weight', class: 'number', text: ({ offered }) => count(offered.weight) },
  {
    title: 'Traffic',
    class: 'number share-cell',
    content: (cell) => {
      const bar = h('progress', { max: '100', 'aria-hidden': 'true' });
      const text = h('span', { class: 'value' });
      cell.append(bar, text);
      return ({ share }) => {
        bar.value = share ?? 0;
        setText(text, percent(share));
      };
    },
  },
  { title: 'Calls/s', class: 'number', text: ({ calls }) => rate(calls?.rate ?? null) },
  {
    title: 'Errors',
    class: 'number',
    text: ({ calls }) =>
      percent(calls === undefined ? null : errorShare([calls.rate, calls.errors, null, null])),
  },
  { title: 'p99', class: 'number', text: ({ calls }) => milliseconds(calls?.p99) },
];

export class ServiceView implements View {
  readonly title: string;
  readonly element: HTMLElement;
  readonly #store: FleetStore;
  readonly #name: string;
  readonly #version: string;
  readonly #note = h('p', { class: 'note', role: 'status' });
  readonly #nodeTile = new Tile('Nodes');
  readonly #tiles = new PointTiles();
  readonly #charts = [
    new Chart({
      title: 'Calls per second',
      series: [{ label: 'Calls/s', color: 'accent' }],
      format: rate,
      unit: '',
    }),
    new Chart({
      title: 'Failed calls per second',
      series: [{ label: 'Failed/s', color: 'bad' }],
      format: rate,
      unit: '',
    }),
    latencyChart(),
  ] as const;
  readonly #nodes = new LiveTable<NodeOfService>(
    'Nodes of the service',
    NODE_COLUMNS,
    ({ node, offered }) => `${node.key}\n${offered.group}`,
    'No node offers this service now.',
    ({ node }) => (node.state === 'gone' ? 'gone' : ''),
  );
  readonly #methods: LiveTable<MethodRow>;
  #detail: ServiceDetail | undefined;
  #isAsking = false;

  constructor(store: FleetStore, name: string, version: string) {
    this.#store = store;
    this.#name = name;
    this.#version = version;
    this.title = serviceName({ name, version });
    this.#methods = new LiveTable<MethodRow>(
      'Methods',
      methodColumns({ hasService: false, nodeOf: () => this.#anyNode() }),
      methodKey,
      'No method is known: no node of the service describes itself.',
    );
    this.element = h(
      'div',
      {},
      viewHeader('Service', this.title, this.#note),
      tiles(this.#nodeTile, ...this.#tiles.list),
      h('div', { class: 'charts' }, ...this.#charts.map(({ element }) => element)),
      section('Nodes', this.#nodes.element),
      section('Methods', this.#methods.element),
    );
  }

  /** The key of a node that can be called; empty if there is none. */
  #anyNode(): string {
    return this.#offering().find(({ node }) => isAnswering(node.state))?.node.key ?? '';
  }

  #offering(): Pick<NodeOfService, 'node' | 'offered'>[] {
    return (this.#store.update?.nodes ?? []).flatMap((node) =>
      node.services
        .filter(({ name, version }) => name === this.#name && version === this.#version)
        .map((offered) => ({ node, offered })),
    );
  }

  update(): void {
    const { update, services, times } = this.#store;
    if (update === undefined) return;
    const row = update.services.find(
      ({ name, version }) => name === this.#name && version === this.#version,
    );
    const history = services.get(serviceKey(this.#name, this.#version));
    setText(this.#note, noteOf(row));
    this.#nodeTile.show(
      row === undefined ? '–' : `${row.answering} of ${row.nodes}`,
      row !== undefined && row.answering < row.nodes ? 'bad' : 'plain',
    );
    this.#tiles.show(row?.point ?? NO_POINT, row?.inFlight ?? null);
    if (history !== undefined) {
      const [calls, errors, p50, p99] = history.columns;
      this.#charts[0].show(times, [calls]);
      this.#charts[1].show(times, [errors]);
      this.#charts[2].show(times, [p99, p50]);
    }
    this.#showNodes();
    void this.#ask();
  }

  #showNodes(): void {
    const calls = new Map(this.#detail?.nodes.map((each) => [each.key, each]));
    const total = [...calls.values()].reduce((sum, each) => sum + each.rate, 0);
    this.#nodes.show(
      this.#offering().map(({ node, offered }) => {
        const own = isAnswering(node.state) ? calls.get(node.key) : undefined;
        const share = own === undefined ? null : total === 0 ? 0 : (own.rate / total) * 100;
        return { node, offered, calls: own, share };
      }),
    );
  }

  async #ask(): Promise<void> {
    if (this.#isAsking || this.#store.state !== 'live') return;
    this.#isAsking = true;
    try {
      this.#detail = await this.#store.console.service({
        name: this.#name,
        version: this.#version,
      });
      this.#methods.show(this.#detail.methods);
      this.#showNodes();
    } catch (error) {
      this.#methods.setEmptyText(messageOf(error));
    } finally {
      this.#isAsking = false;
    }
  }

  close(): void {
    for (const chart of this.#charts) chart.close();
  }
}

function noteOf(row: { readonly groups: readonly string[]; readonly nodes: number } | undefined) {
  if (row === undefined) return 'This service is not known. Perhaps its last node has left.';
  return row.groups.length === 0 ? '' : `Groups: ${row.groups.join(', ')}`;
}
