/** Metadata, timeout and token of a call. */
import { button, h, newId } from '../dom.js';

export class CallSettings {
  readonly element: HTMLElement;
  readonly #rows = h('div', { class: 'pairs' });
  readonly #timeout = h('input', { type: 'text', inputmode: 'numeric', id: newId() });
  readonly #token = h('input', { type: 'password', autocomplete: 'off', id: newId() });

  constructor(defaultTimeout: string) {
    this.#timeout.placeholder = defaultTimeout;
    this.element = h(
      'details',
      {},
      h('summary', {}, 'Metadata, timeout, token'),
      h('h3', {}, 'Metadata'),
      this.#rows,
      button('Add metadata', () => this.#addRow(), { class: 'quiet' }),
      h(
        'div',
        { class: 'field' },
        h('label', { for: this.#timeout.id }, 'Timeout in milliseconds'),
        this.#timeout,
      ),
      h(
        'div',
        { class: 'field' },
        h('label', { for: this.#token.id }, 'Token'),
        this.#token,
        h('span', { class: 'note' }, 'Empty: that of the console. It is not stored, nor copied.'),
      ),
    );
  }

  #addRow(): void {
    const key = h('input', { type: 'text', 'aria-label': 'Key', placeholder: 'key' });
    const value = h('input', { type: 'text', 'aria-label': 'Value', placeholder: 'value' });
    const row = h('div', { class: 'pair' }, key, value);
    row.append(
      button('Remove', () => row.remove(), {
        class: 'quiet',
        'aria-label': 'Remove this metadata',
      }),
    );
    this.#rows.append(row);
    key.focus();
  }

  get metadata(): Record<string, string> {
    const pairs = [...this.#rows.children].map((row) =>
      [...row.querySelectorAll('input')].map(({ value }) => value),
    );
    return Object.fromEntries(
      pairs.filter(([key]) => key !== '').map(([key = '', value = '']) => [key, value]),
    );
  }

  /** Milliseconds; undefined: the default. Throws an Error. */
  get timeout(): number | undefined {
    const text = this.#timeout.value.trim();
    if (text === '') return undefined;
    const value = Number(text);
    if (value >= 1) return value;
    throw new Error(`Timeout: got ${text}, expected milliseconds, at least 1`);
  }

  get token(): string | undefined {
    return this.#token.value === '' ? undefined : this.#token.value;
  }
}
