/** A form for a message, made from its schema. */
import type { FormSchema } from '../../types.js';
import { h, newId } from '../dom.js';

/** A control for one value. */
interface Control {
  readonly element: HTMLElement;
  /** The value; undefined: it is left out. Throws an Error that says what is wrong. */
  read(): unknown;
  write(value: unknown): void;
}

/** A message as fields. */
export class SchemaForm {
  readonly element = h('div', { class: 'schema-form' });
  readonly #control: Control;

  constructor(schema: FormSchema) {
    this.#control = controlFor('Argument', schema, true);
    this.element.append(this.#control.element);
  }

  /** The message as JSON; empty: there is none. Throws an Error that names the wrong field. */
  read(): string {
    const value = this.#control.read();
    return value === undefined ? '' : JSON.stringify(value, undefined, 2);
  }

  /** Shows a message. What the form has no field for is lost. */
  write(json: string): void {
    this.#control.write(json.trim() === '' ? undefined : JSON.parse(json));
  }
}

function controlFor(name: string, schema: FormSchema, isRequired: boolean): Control {
  if (schema.enum !== undefined) return new ChoiceControl(name, schema, isRequired);
  switch (schema.type) {
    case 'object':
      if (schema.properties !== undefined) return new ObjectControl(name, schema, isRequired);
      break;
    case 'boolean':
      return new BooleanControl(name, schema, isRequired);
    case 'string':
    case 'number':
    case 'integer':
      return new ScalarControl(name, schema, isRequired);
  }
  return new JsonControl(name, schema, isRequired);
}

/** A label, the control, and what the schema says about it. */
function field(name: string, schema: FormSchema, isRequired: boolean, control: HTMLElement) {
  const id = newId();
  control.id = id;
  const hint = [schema.type ?? 'JSON', isRequired ? '' : 'optional', schema.description ?? '']
    .filter((text) => text !== '')
    .join(' · ');
  const note = h('span', { class: 'note', id: `${id}-hint` }, hint);
  control.setAttribute('aria-describedby', note.id);
  return h('div', { class: 'field' }, h('label', { for: id }, schema.title ?? name), control, note);
}

class ObjectControl implements Control {
  readonly element: HTMLElement;
  readonly #isRequired: boolean;
  readonly #controls: readonly (readonly [name: string, control: Control])[];

  constructor(name: string, schema: FormSchema, isRequired: boolean) {
    this.#isRequired = isRequired;
    this.#controls = Object.entries(schema.properties ?? {}).map(([property, part]) => [
      property,
      controlFor(property, part, schema.required?.includes(property) ?? false),
    ]);
    this.element = h(
      'fieldset',
      {},
      h('legend', {}, schema.title ?? name),
      ...(this.#controls.length === 0
        ? [h('p', { class: 'note' }, 'The message has no fields.')]
        : this.#controls.map(([, control]) => control.element)),
    );
  }

  read(): unknown {
    const entries = this.#controls
      .map(([name, control]) => [name, control.read()] as const)
      .filter(([, value]) => value !== undefined);
    return entries.length === 0 && !this.#isRequired ? undefined : Object.fromEntries(entries);
  }

  write(value: unknown): void {
    const record = typeof value === 'object' && value !== null ? value : {};
    for (const [name, control] of this.#controls)
      control.write(Object.hasOwn(record, name) ? Reflect.get(record, name) : undefined);
  }
}

class ScalarControl implements Control {
  readonly element: HTMLElement;
  readonly #input: HTMLInputElement;
  readonly #name: string;
  readonly #type: FormSchema['type'];
  readonly #isRequired: boolean;

  constructor(name: string, schema: FormSchema, isRequired: boolean) {
    this.#name = name;
    this.#type = schema.type;
    this.#isRequired = isRequired;
    this.#input = h('input', {
      type: 'text',
      inputmode: schema.type === 'string' ? undefined : 'decimal',
      autocomplete: 'off',
      spellcheck: 'false',
    });
    this.element = field(name, schema, isRequired, this.#input);
    this.write(schema.default);
  }

  read(): unknown {
    const text = this.#input.value;
    if (this.#type === 'string') return text === '' && !this.#isRequired ? undefined : text;
    if (text.trim() === '') {
      if (this.#isRequired) throw new Error(`${this.#name}: expected a number`);
      return undefined;
    }
    const value = Number(text);
    if (Number.isNaN(value) || (this.#type === 'integer' && !Number.isInteger(value)))
      throw new Error(
        `${this.#name}: got ${text}, expected ${this.#type === 'integer' ? 'a whole number' : 'a number'}`,
      );
    return value;
  }

  write(value: unknown): void {
    this.#input.value = value === undefined || value === null ? '' : String(value);
  }
}

class BooleanControl implements Control {
  readonly element: HTMLElement;
  readonly #input = h('input', { type: 'checkbox' });
  readonly #isRequired: boolean;

  constructor(name: string, schema: FormSchema, isRequired: boolean) {
    this.#isRequired = isRequired;
    this.element = field(name, schema, isRequired, this.#input);
    this.element.classList.add('check');
    this.write(schema.default);
  }

  read(): unknown {
    return this.#input.checked || this.#isRequired ? this.#input.checked : undefined;
  }

  write(value: unknown): void {
    this.#input.checked = value === true;
  }
}

class ChoiceControl implements Control {
  readonly element: HTMLElement;
  readonly #select = h('select');
  readonly #values: readonly unknown[];

  constructor(name: string, schema: FormSchema, isRequired: boolean) {
    const values = schema.enum ?? [];
    this.#values = isRequired ? values : [undefined, ...values];
    this.#select.append(
      ...this.#values.map((value, at) =>
        h('option', { value: String(at) }, value === undefined ? '(none)' : String(value)),
      ),
    );
    this.element = field(name, schema, isRequired, this.#select);
    this.write(schema.default);
  }

  read(): unknown {
    return this.#values[Number(this.#select.value)];
  }

  write(value: unknown): void {
    this.#select.value = String(Math.max(0, this.#values.indexOf(value)));
  }
}

/** A value that has no form, as JSON. */
class JsonControl implements Control {
  readonly element: HTMLElement;
  readonly #text = h('textarea', { rows: '3', spellcheck: 'false' });
  readonly #name: string;

  constructor(name: string, schema: FormSchema, isRequired: boolean) {
    this.#name = name;
    this.#text.placeholder = schema.type === 'array' ? '[]' : schema.type === 'object' ? '{}' : '';
    this.element = field(name, schema, isRequired, this.#text);
    this.write(schema.default);
  }

  read(): unknown {
    if (this.#text.value.trim() === '') return undefined;
    try {
      return JSON.parse(this.#text.value);
    } catch (error) {
      throw new Error(`${this.#name}: ${error instanceof Error ? error.message : 'no JSON'}`);
    }
  }

  write(value: unknown): void {
    this.#text.value = value === undefined ? '' : JSON.stringify(value, undefined, 2);
  }
}
