/** One node: its methods, sessions and process, and controls that drain it. */
import { messageOf } from '../../../../core/errors.js';
import {
  type MethodRow,
  NO_POINT,
  type NodeDetail,
  type OfferedService,
  type SessionRow,
} from '../../types.js';
import { Chart, latencyChart } from '../chart.js';
import { h, setText } from '../dom.js';
import type { FleetStore } from '../fleet-store.js';
import { bytes, count, duration, milliseconds, rate, serviceName } from '../format.js';
import { LiveTable, linkCell } from '../live-table.js';
import {
  methodColumns,
  methodKey,
  nodeName,
  PointTiles,
  StateLabel,
  section,
  Tile,
  tiles,
  type View,
  viewHeader,
} from '../parts.js';
import { serviceLink } from '../router.js';
import { NodeControls } from './node-controls.js';

export class NodeView implements View {
  readonly title: string;
  readonly element: HTMLElement;
  readonly #store: FleetStore;
  readonly #key: string;
  readonly #state = new StateLabel();
  readonly #note = h('p', { class: 'note', role: 'status' });
  readonly #controls: NodeControls;
  readonly #tiles = new PointTiles();
  readonly #memory = new Tile('Memory');
  readonly #heap = new Tile('Heap');
  readonly #loop = new Tile('Event loop delay');
  readonly #uptime = new Tile('Uptime');
  readonly #charts = [
    new Chart({
      title: 'Calls per second',
      series: [
        { label: 'Calls/s', color: 'accent' },
        { label: 'Failed/s', color: 'bad' },
      ],
      format: rate,
      unit: '',
    }),
    latencyChart(),
  ] as const;
  readonly #services = new LiveTable<OfferedService>(
    'Services of the node',
    [
      {
        title: 'Service',
        content: linkCell(serviceName, ({ name, version }) => serviceLink(name, version)),
      },
      { title: 'Group', text: ({ group }) => group || '–' },
      { title: 'Codecs', text: ({ codecs }) => codecs.join(', ') },
      { title: 'Weight', class: 'number', text: ({ weight }) => count(weight) },
    ],
    ({ name, version, group }) => `${name}\n${version}\n${group}`,
    'The node offers no service.',
  );
  readonly #methods: LiveTable<MethodRow>;
  readonly #sessions = new LiveTable<SessionRow>(
    'Sessions',
    [
      { title: 'Peer', text: ({ peer }) => peer },
      { title: 'Identity', text: ({ identity }) => identity ?? '–' },
      { title: 'Age', class: 'number', text: ({ age }) => duration(age) },
      { title: 'Serving', class: 'number', text: ({ serving }) => count(serving) },
      { title: 'Served', class: 'number', text: ({ served }) => count(served) },
      { title: 'Failed', class: 'number', text: ({ failed }) => count(failed) },
      { title: 'Received', class: 'number minor', text: ({ bytesRead }) => bytes(bytesRead) },
      { title: 'Sent', class: 'number minor', text: ({ bytesWritten }) => bytes(bytesWritten) },
      { title: 'Queue', class: 'number minor', text: ({ queuedBytes }) => bytes(queuedBytes) },
    ],
    ({ id, peer }) => id ?? peer,
    'There are no sessions.',
  );
  readonly #sessionNote = h('p', { class: 'note' });
  #isAsking = false;

  constructor(store: FleetStore, key: string) {
    this.#store = store;
    this.#key = key;
    this.title = nodeName(store, key);
    this.#controls = new NodeControls(store, key);
    this.#methods = new LiveTable<MethodRow>(
      'Methods',
      methodColumns({ hasService: true, nodeOf: () => key }),
      methodKey,
      'The node has not described its methods.',
    );
    this.element = h(
      'div',
      {},
      viewHeader(
        'Node',
        this.title,
        h('p', { class: 'facts' }, h('code', {}, key), this.#state.element),
        this.#note,
        this.#controls.element,
      ),
      tiles(...this.#tiles.list, this.#memory, this.#heap, this.#loop, this.#uptime),
      h('div', { class: 'charts two' }, ...this.#charts.map(({ element }) => element)),
      section('Methods', this.#methods.element),
      section('Sessions', this.#sessions.element, this.#sessionNote),
      section('Services', this.#services.element),
    );
  }

  update(): void {
    const { update, nodes, times } = this.#store;
    if (update === undefined) return;
    const row = update.nodes.find(({ key }) => key === this.#key);
    this.#state.show(row?.state ?? 'gone', row?.reason ?? '');
    setText(this.#note, row === undefined ? 'This node is not known, or left long ago.' : '');
    this.#controls.show(row);
    this.#tiles.show(row?.point ?? NO_POINT, row?.inFlight ?? null);
    this.#services.show(row?.services ?? []);
    const history = nodes.get(this.#key);
    if (history !== undefined) {
      const [calls, errors, p50, p99] = history.columns;
      this.#charts[0].show(times, [calls, errors]);
      this.#charts[1].show(times, [p99, p50]);
    }
    void this.#ask(row !== undefined);
  }

  async #ask(isKnown: boolean): Promise<void> {
    if (this.#isAsking || !isKnown || this.#store.state !== 'live') return;
    this.#isAsking = true;
    try {
      this.#show(await this.#store.console.node({ key: this.#key }));
    } catch (error) {
      setText(this.#sessionNote, messageOf(error));
    } finally {
      this.#isAsking = false;
    }
  }

  #show({ methods, sessions, totalSessions, process, missing }: NodeDetail): void {
    this.#methods.show(methods);
    this.#sessions.show(sessions);
    this.#sessions.setEmptyText(
      totalSessions === undefined ? 'The sessions are not known.' : 'There are no sessions.',
    );
    const more = (totalSessions ?? 0) - sessions.length;
    setText(
      this.#sessionNote,
      [
        more > 0 ? `${count(totalSessions)} sessions, of which ${sessions.length} are shown.` : '',
        ...missing,
      ]
        .filter((text) => text !== '')
        .join(' '),
    );
    this.#memory.show(bytes(process.rss));
    this.#heap.show(bytes(process.heapUsed));
    this.#loop.show(
      milliseconds(process.loopDelay),
      process.loopDelay !== undefined && process.loopDelay > 50 ? 'warning' : 'plain',
    );
    this.#uptime.show(duration(process.uptime));
  }

  close(): void {
    for (const chart of this.#charts) chart.close();
  }
}
