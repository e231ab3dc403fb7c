/** Elements and columns that several views use: tiles, states, the columns of calls. */
import type { MethodRow, NodeState, Point } from '../types.js';
import { h, setClass, setText } from './dom.js';
import type { FleetStore, History } from './fleet-store.js';
import { count, errorShare, milliseconds, percent, rate } from './format.js';
import { type LiveColumn, linkCell } from './live-table.js';
import { link } from './router.js';
import { Sparkline } from './sparkline.js';

/** A view of the page, which main.ts creates for a route. */
export interface View {
  readonly title: string;
  readonly element: HTMLElement;
  /** Shows the newest state of the store. Called at once, and then each second. */
  update(): void;
  close?(): void;
}

/** A number with its label above. */
export class Tile {
  readonly element: HTMLElement;
  readonly #value = h('dd');

  constructor(label: string) {
    this.element = h('div', { class: 'tile' }, h('dt', {}, label), this.#value);
  }

  show(text: string, tone: 'plain' | 'good' | 'warning' | 'bad' = 'plain'): void {
    setText(this.#value, text);
    setClass(this.#value, tone);
  }
}

export const tiles = (...list: readonly Tile[]): HTMLElement =>
  h('dl', { class: 'tiles' }, ...list.map(({ element }) => element));

/** The tiles of a point. */
export class PointTiles {
  readonly #rate = new Tile('Calls/s');
  readonly #errors = new Tile('Errors');
  readonly #p50 = new Tile('p50');
  readonly #p99 = new Tile('p99');
  readonly #inFlight = new Tile('In flight');
  readonly list = [this.#rate, this.#errors, this.#p50, this.#p99, this.#inFlight];

  show(point: Point, inFlight: number | null): void {
    const share = errorShare(point);
    this.#rate.show(rate(point[0]));
    this.#errors.show(percent(share), toneOf(share));
    this.#p50.show(milliseconds(point[2]));
    this.#p99.show(milliseconds(point[3]));
    this.#inFlight.show(count(inFlight));
  }
}

const toneOf = (share: number | null): 'plain' | 'warning' | 'bad' =>
  share === null || share < 0.1 ? 'plain' : share < 5 ? 'warning' : 'bad';

const STATES: Readonly<Record<NodeState, readonly [text: string, tone: string]>> = {
  connecting: ['connecting', 'plain'],
  up: ['takes calls', 'good'],
  draining: ['draining', 'warning'],
  silent: ['no introspection', 'warning'],
  unreachable: ['unreachable', 'bad'],
  gone: ['left the registry', 'plain'],
};

/** The state of a node as a dot and a text, with its reason. */
export class StateLabel {
  readonly element = h('span', { class: 'state' });
  readonly #text = h('span');
  readonly #reason = h('span', { class: 'note' });

  constructor() {
    this.element.append(
      h('span', { class: 'dot', 'aria-hidden': 'true' }),
      this.#text,
      this.#reason,
    );
  }

  show(state: NodeState, reason: string): void {
    const [text, tone] = STATES[state];
    setText(this.#text, text);
    setText(this.#reason, state === 'gone' ? '' : reason);
    setClass(this.element, `state ${tone}`);
  }
}

export function stateColumn<Row>(
  select: (row: Row) => { readonly state: NodeState; readonly reason: string },
): LiveColumn<Row> {
  return {
    title: 'State',
    class: 'state-cell',
    content: (cell) => {
      const label = new StateLabel();
      cell.append(label.element);
      return (row) => {
        const { state, reason } = select(row);
        label.show(state, reason);
      };
    },
  };
}

/** A number, with a line of the last two minutes. */
function lineColumn<Row>(
  title: string,
  tone: 'accent' | 'bad' | 'plain',
  textOf: (row: Row) => string,
  valuesOf: (row: Row) => readonly (number | null)[],
): LiveColumn<Row> {
  return {
    title,
    class: 'number line-cell',
    content: (cell) => {
      const line = new Sparkline(tone);
      const text = h('span', { class: 'value' });
      cell.append(line.element, text);
      return (row) => {
        setText(text, textOf(row));
        line.show(valuesOf(row));
      };
    },
  };
}

/** The columns of a row with a point and a history. */
export function pointColumns<Row extends { readonly point: Point }>(
  historyOf: (row: Row) => History | undefined,
): LiveColumn<Row>[] {
  const column = (row: Row, at: 0 | 1 | 2 | 3): readonly (number | null)[] =>
    historyOf(row)?.columns[at] ?? [];
  return [
    lineColumn(
      'Calls/s',
      'accent',
      ({ point }) => rate(point[0]),
      (row) => column(row, 0),
    ),
    lineColumn(
      'Errors',
      'bad',
      ({ point }) => percent(errorShare(point)),
      (row) => column(row, 1),
    ),
    lineColumn(
      'p50',
      'plain',
      ({ point }) => milliseconds(point[2]),
      (row) => column(row, 2),
    ),
    lineColumn(
      'p99',
      'plain',
      ({ point }) => milliseconds(point[3]),
      (row) => column(row, 3),
    ),
  ];
}

export interface MethodColumnOptions {
  /** Whether the name of a method has that of its service. */
  readonly hasService: boolean;
  /** The key of the node that is called by the link of a method. */
  readonly nodeOf: () => string;
}

export function methodColumns({
  hasService,
  nodeOf,
}: MethodColumnOptions): LiveColumn<MethodRow>[] {
  return [
    {
      title: 'Method',
      content: linkCell<MethodRow>(
        ({ service, method }) => (hasService ? `${service}/${method}` : method),
        ({ service, version, method }) =>
          link('call', { node: nodeOf(), service, version, method }),
        ({ kind }) => (kind === undefined || kind === 'unary' ? '' : METHOD_KINDS[kind]),
      ),
    },
    { title: 'Calls/s', class: 'number', text: (row) => rate(row.rate) },
    {
      title: 'Errors',
      class: 'number',
      text: (row) => percent(errorShare([row.rate, row.errors, null, null])),
    },
    { title: 'In flight', class: 'number minor', text: ({ inFlight }) => count(inFlight) },
    { title: 'p50', class: 'number minor', text: ({ p50 }) => milliseconds(p50) },
    { title: 'p99', class: 'number', text: ({ p99 }) => milliseconds(p99) },
    {
      title: 'Codes',
      class: 'codes',
      text: ({ codes }) =>
        Object.entries(codes)
          .map(([code, perSecond]) => `${code} ${rate(perSecond)}/s`)
          .join(', '),
    },
  ];
}

/** The kinds of methods, as text for people. */
export const METHOD_KINDS = {
  unary: 'unary',
  oneway: 'one way',
  noReply: 'no reply',
  serverStream: 'server stream',
  clientStream: 'client stream',
  duplex: 'duplex',
} as const;

export const methodKey = ({ service, version, method }: MethodRow): string =>
  `${service}\n${version}\n${method}`;

/** A part of a view, with a heading. */
export function section(title: string, ...children: readonly Node[]): HTMLElement {
  return h('section', { class: 'panel' }, h('h2', {}, title), ...children);
}

/** The header of the view of one service or node. `kind`: `Service` or `Node`. */
export function viewHeader(kind: string, title: string, ...children: readonly Node[]): HTMLElement {
  return h(
    'header',
    { class: 'view-head' },
    h('p', { class: 'path' }, h('a', { href: link('') }, 'Overview'), ` / ${kind}`),
    h('h1', { tabindex: '-1' }, title),
    ...children,
  );
}

/** The name of a node, by its key. */
export function nodeName({ update }: FleetStore, key: string): string {
  return update?.nodes.find((node) => node.key === key)?.id ?? key;
}
