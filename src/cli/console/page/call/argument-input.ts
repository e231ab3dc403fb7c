/** The argument of a call: as fields if the node describes it, or as JSON. */
import { messageOf } from '../../../../core/errors.js';
import type { CallableRow } from '../../types.js';
import { button, h, newId, setText } from '../dom.js';
import { SchemaForm } from './schema-form.js';

export class ArgumentInput {
  readonly element = h('div', { class: 'argument' });
  readonly #json = h('textarea', { rows: '8', spellcheck: 'false', id: newId() });
  readonly #error = h('p', { class: 'error', role: 'alert', hidden: true });
  readonly #form: SchemaForm | undefined;
  readonly #formButton: HTMLButtonElement;
  readonly #jsonButton: HTMLButtonElement;
  readonly #jsonField: HTMLElement;
  #isForm: boolean;

  constructor({ input, example }: CallableRow) {
    this.#form = input === undefined ? undefined : new SchemaForm(input);
    this.#isForm = this.#form !== undefined;
    this.#json.value = example;
    this.#formButton = button('Form', () => this.#switch(true));
    this.#jsonButton = button('JSON', () => this.#switch(false));
    this.#jsonField = h(
      'div',
      { class: 'field' },
      h('label', { for: this.#json.id }, 'Argument as JSON'),
      this.#json,
      h('span', { class: 'note' }, 'Empty: no argument'),
    );
    if (this.#form !== undefined)
      this.element.append(
        h(
          'div',
          { class: 'tabs', role: 'group', 'aria-label': 'How the argument is written' },
          this.#formButton,
          this.#jsonButton,
        ),
        this.#form.element,
      );
    this.element.append(this.#jsonField, this.#error);
    this.#show();
  }

  #show(): void {
    if (this.#form !== undefined) this.#form.element.hidden = !this.#isForm;
    this.#jsonField.hidden = this.#isForm;
    this.#formButton.setAttribute('aria-pressed', String(this.#isForm));
    this.#jsonButton.setAttribute('aria-pressed', String(!this.#isForm));
  }

  #switch(isForm: boolean): void {
    if (isForm === this.#isForm) return;
    try {
      if (isForm) this.#form?.write(this.#json.value);
      else this.#json.value = this.#form?.read() ?? '';
      this.#isForm = isForm;
      this.setError('');
      this.#show();
    } catch (error) {
      this.setError(messageOf(error));
    }
  }

  /** The argument as JSON; empty: none. Shows what is wrong, and throws. */
  read(): string {
    try {
      const json = this.#isForm ? (this.#form?.read() ?? '') : this.#json.value;
      if (json.trim() !== '') JSON.parse(json);
      this.setError('');
      return json;
    } catch (error) {
      this.setError(messageOf(error));
      throw error;
    }
  }

  setError(text: string): void {
    setText(this.#error, text);
    this.#error.hidden = text === '';
  }
}
