/** The events that the console keeps, with a filter. */
import type { EventKind, FleetEvent } from '../../types.js';
import { h, newId, setText } from '../dom.js';
import type { FleetStore } from '../fleet-store.js';
import { clock } from '../format.js';
import { type LiveColumn, LiveTable } from '../live-table.js';
import { section, type View } from '../parts.js';
import { nodeLink } from '../router.js';

const LEVELS: Readonly<Record<FleetEvent['level'], string>> = {
  info: 'note',
  good: 'good',
  warning: 'warning',
  bad: 'problem',
};

const EVENT_KINDS: Readonly<Record<EventKind, string>> = {
  node: 'Nodes come and go',
  reachability: 'Reachability',
  weight: 'Weights',
  drain: 'Draining',
  refused: 'Refused sessions',
  errors: 'Errors of calls',
  registry: 'Registry',
  console: 'Console',
};

export function eventColumns(): LiveColumn<FleetEvent>[] {
  return [
    {
      title: 'Time',
      class: 'time',
      content: (cell) => (event) => {
        if (cell.childElementCount === 0)
          cell.append(
            h('time', { datetime: new Date(event.time).toISOString() }, clock(event.time)),
          );
      },
    },
    {
      title: 'Level',
      class: 'level',
      content: (cell) => {
        const text = h('span');
        cell.append(h('span', { class: 'dot', 'aria-hidden': 'true' }), text);
        return ({ level }) => setText(text, LEVELS[level]);
      },
    },
    {
      title: 'Event',
      class: 'wide',
      content: (cell) => {
        const anchor = h('a');
        return ({ node, text }) => {
          if (node === undefined) setText(cell, text);
          else {
            setText(anchor, text);
            anchor.setAttribute('href', nodeLink(node));
            if (anchor.parentElement === null) cell.append(anchor);
          }
        };
      },
    },
  ];
}

export class EventsView implements View {
  readonly title = 'Events';
  readonly element: HTMLElement;
  readonly #store: FleetStore;
  readonly #text = h('input', { type: 'search', placeholder: 'Text, such as a node' });
  readonly #kind = h('select');
  readonly #problems = h('input', { type: 'checkbox' });
  readonly #table = new LiveTable<FleetEvent>(
    'Events',
    eventColumns(),
    ({ number }) => String(number),
    'Nothing has happened yet.',
    ({ level }) => level,
  );
  readonly #count = h('p', { class: 'note', role: 'status' });

  constructor(store: FleetStore) {
    this.#store = store;
    this.#kind.append(
      h('option', { value: '' }, 'All kinds'),
      ...Object.entries(EVENT_KINDS).map(([value, text]) => h('option', { value }, text)),
    );
    for (const control of [this.#text, this.#kind, this.#problems])
      control.addEventListener('input', () => this.update());
    this.element = h(
      'div',
      {},
      h('h1', { tabindex: '-1', class: 'hidden' }, 'Events'),
      section(
        'Events',
        h(
          'form',
          { class: 'filter', role: 'search' },
          labelled('Filter', this.#text),
          labelled('Kind', this.#kind),
          h('label', { class: 'check' }, this.#problems, 'Problems only'),
          this.#count,
        ),
        this.#table.element,
      ),
    );
    this.element.querySelector('form')?.addEventListener('submit', (event) => {
      event.preventDefault();
    });
  }

  update(): void {
    const { events } = this.#store;
    const text = this.#text.value.trim().toLowerCase();
    const kind = this.#kind.value;
    const shown = events.filter(
      (event) =>
        (kind === '' || event.kind === kind) &&
        (!this.#problems.checked || event.level === 'bad' || event.level === 'warning') &&
        (text === '' || event.text.toLowerCase().includes(text)),
    );
    this.#table.setEmptyText(
      events.length === 0 ? 'Nothing has happened yet.' : 'No event matches the filter.',
    );
    this.#table.show(shown);
    setText(this.#count, `${shown.length} of ${events.length} events`);
  }
}

function labelled(text: string, control: HTMLElement): HTMLElement {
  const id = newId();
  control.id = id;
  return h('div', { class: 'field' }, h('label', { for: id }, text), control);
}
