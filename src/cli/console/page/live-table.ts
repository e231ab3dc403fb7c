/** A table whose rows change each second. Rows and cells are kept, so that the focus stays. */
import { h, setClass, setText } from './dom.js';

export interface LiveColumn<Row> {
  readonly title: string;
  /** Classes of the cells: `number`, `wide`, `minor`. */
  readonly class?: string | undefined;
  /** The text of the cell. */
  readonly text?: (row: Row) => string;
  /** Replaces `text`. Fills a new cell, and returns the function that shows a row in it. */
  readonly content?: (cell: HTMLElement) => (row: Row) => void;
}

interface LiveRow<Row> {
  readonly element: HTMLTableRowElement;
  readonly show: (row: Row) => void;
}

export class LiveTable<Row> {
  readonly element: HTMLElement;
  readonly #body = h('tbody');
  readonly #empty: HTMLElement;
  readonly #table: HTMLElement;
  readonly #columns: readonly LiveColumn<Row>[];
  readonly #keyOf: (row: Row) => string;
  readonly #classOf: ((row: Row) => string) | undefined;
  readonly #rows = new Map<string, LiveRow<Row>>();

  /** `empty`: what is shown instead of a table without rows. */
  constructor(
    caption: string,
    columns: readonly LiveColumn<Row>[],
    keyOf: (row: Row) => string,
    empty: string,
    classOf?: (row: Row) => string,
  ) {
    this.#columns = columns;
    this.#keyOf = keyOf;
    this.#classOf = classOf;
    this.#empty = h('p', { class: 'empty' }, empty);
    this.#table = h(
      'table',
      { 'aria-label': caption },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ...columns.map(({ title, class: name }) => h('th', { scope: 'col', class: name }, title)),
        ),
      ),
      this.#body,
    );
    this.element = h('div', { class: 'table' }, this.#table, this.#empty);
    this.show([]);
  }

  setEmptyText(text: string): void {
    setText(this.#empty, text);
  }

  show(rows: readonly Row[]): void {
    const keys = new Set<string>();
    let next = this.#body.firstElementChild;
    for (const row of rows) {
      const key = this.#keyOf(row);
      if (keys.has(key)) continue;
      keys.add(key);
      let found = this.#rows.get(key);
      if (found === undefined) {
        found = this.#createRow();
        this.#rows.set(key, found);
      }
      found.show(row);
      if (this.#classOf !== undefined) setClass(found.element, this.#classOf(row));
      if (found.element === next) next = next.nextElementSibling;
      else this.#body.insertBefore(found.element, next);
    }
    for (const [key, { element }] of this.#rows)
      if (!keys.has(key)) {
        element.remove();
        this.#rows.delete(key);
      }
    this.#table.hidden = keys.size === 0;
    this.#empty.hidden = keys.size > 0;
  }

  #createRow(): LiveRow<Row> {
    const shows: ((row: Row) => void)[] = [];
    const cells = this.#columns.map(({ title, class: name, text, content }, at) => {
      const cell = h(at === 0 ? 'th' : 'td', {
        class: name,
        'data-title': title,
        scope: at === 0 ? 'row' : undefined,
      });
      if (content !== undefined) shows.push(content(cell));
      else if (text !== undefined) shows.push((row) => setText(cell, text(row)));
      return cell;
    });
    return {
      element: h('tr', {}, ...cells),
      show: (row) => {
        for (const show of shows) show(row);
      },
    };
  }
}

/** The content of a cell that links to a view. `note`: a second, smaller text. */
export function linkCell<Row>(
  textOf: (row: Row) => string,
  hrefOf: (row: Row) => string,
  noteOf?: (row: Row) => string,
): LiveColumn<Row>['content'] {
  return (cell) => {
    const anchor = h('a');
    cell.append(anchor);
    const note = h('span', { class: 'note' });
    if (noteOf !== undefined) cell.append(note);
    return (row) => {
      setText(anchor, textOf(row));
      const href = hrefOf(row);
      if (anchor.getAttribute('href') !== href) anchor.setAttribute('href', href);
      if (noteOf !== undefined) setText(note, noteOf(row));
    };
  };
}
