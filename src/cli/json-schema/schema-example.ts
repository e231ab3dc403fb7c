/**
 * An example of the values that a JSON Schema accepts. It may violate keywords such as `pattern`,
 * `multipleOf` and `uniqueItems`, and has values of the first form of a schema only.
 */
import {
  type Form,
  formsOf,
  isNode,
  keyword,
  propertiesOf,
  requiredOf,
  type SchemaNode,
} from './schema-forms.js';

/** Texts of the formats of JSON Schema. */
const FORMATS: Readonly<Record<string, string>> = {
  date: '1970-01-01',
  'date-time': '1970-01-01T00:00:00Z',
  duration: 'PT0S',
  email: 'user@example.org',
  hostname: 'example.org',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  time: '00:00:00Z',
  uri: 'https://example.org',
  url: 'https://example.org',
  uuid: '00000000-0000-4000-8000-000000000000',
};

/** The most levels of an example. */
const MAX_DEPTH = 8;
/** The most values of an example. */
const MAX_VALUES = 500;
/** The most characters of all names and given values of an example. */
const MAX_CHARACTERS = 100_000;
/** The most properties and required names that are looked at. */
const MAX_PROPERTIES = 50_000;
/** The most characters or items that a limit such as minLength adds. */
const MAX_LENGTH = 100;

/** Undefined: there is no example, such as for a schema whose forms are not known. */
export function exampleOfSchema(schema: object): unknown {
  return new ExampleMaker(schema).make(schema, []);
}

class ExampleMaker {
  readonly #root: object;
  readonly #lengths = new Map<unknown, number>();
  #values = 0;
  #characters = 0;
  #properties = 0;

  constructor(root: object) {
    this.#root = root;
  }

  /** `parents`: the schemas around this one, because a schema may contain itself. */
  make(schema: unknown, parents: readonly SchemaNode[]): unknown {
    if (++this.#values > MAX_VALUES || parents.length > MAX_DEPTH) return undefined;
    const given = isNode(schema) ? givenExample(schema) : undefined;
    if (given !== undefined) return this.#give(given);
    const forms = formsOf(schema, this.#root);
    const form = forms?.find(({ type }) => type !== 'null') ?? forms?.[0];
    if (form === undefined || parents.includes(form.schema)) return undefined;
    // The example of a definition, which a reference names.
    const example = givenExample(form.schema);
    if (example !== undefined) return this.#give(example);
    return this.#makeForm(form, [...parents, form.schema]);
  }

  /** A value that the schema has. Undefined if the example would be too long. */
  #give(value: unknown): unknown {
    const length = this.#lengths.get(value) ?? JSON.stringify(value)?.length ?? 0;
    this.#lengths.set(value, length);
    return this.#spend(length) ? value : undefined;
  }

  /** False, if the example would be too long. */
  #spend(characters: number): boolean {
    if (this.#characters + characters > MAX_CHARACTERS) return false;
    this.#characters += characters;
    return true;
  }

  #makeForm({ type, values, schema }: Form, parents: readonly SchemaNode[]): unknown {
    if (values !== undefined) return this.#give(values[0]);
    switch (type) {
      case 'object':
        return this.#makeObject(schema, parents);
      case 'array':
        return this.#makeArray(schema, parents);
      case 'string':
        return textOf(schema);
      case 'number':
      case 'integer':
        return numberOf(schema);
      case 'boolean':
        return false;
      default:
        return null;
    }
  }

  #makeObject(schema: SchemaNode, parents: readonly SchemaNode[]): object {
    const object: Record<string, unknown> = Object.create(null);
    if (this.#properties > MAX_PROPERTIES) return object;
    const required = new Set(requiredOf(schema));
    this.#properties += required.size + Object.keys(propertiesOf(schema)).length;
    for (const [name, value] of Object.entries(propertiesOf(schema))) {
      const isRequired = required.has(name);
      // The example leaves out an optional field if no text is known that matches its pattern.
      if (!isRequired && isNode(value) && hasUnknownPattern(value)) continue;
      if (!this.#spend(name.length)) break;
      const example = this.make(value, parents);
      if (example !== undefined) object[name] = example;
      else if (isRequired) object[name] = null;
    }
    return object;
  }

  #makeArray(schema: SchemaNode, parents: readonly SchemaNode[]): unknown[] {
    const tuple = keyword(schema, 'prefixItems');
    if (Array.isArray(tuple))
      return tuple.slice(0, MAX_LENGTH).map((item) => this.make(item, parents) ?? null);
    const items = keyword(schema, 'items');
    const least = Math.min(limitOf(schema, 'minItems') ?? 0, MAX_LENGTH);
    const [values, characters] = [this.#values, this.#characters];
    const item = isNode(items) ? this.make(items, parents) : null;
    // An object shows its fields; other items are clear from the type.
    const length = isNode(item) && keyword(schema, 'maxItems') !== 0 ? Math.max(least, 1) : least;
    const copies = this.#addCopies(
      length - 1,
      this.#values - values,
      this.#characters - characters,
    );
    return Array.from({ length: Math.min(length, 1 + copies) }, () => item ?? null);
  }

  /**
   * Counts up to `wanted` copies of an item of `values` and `characters`, and returns how many may
   * be made. In nested lists the copies are multiplied.
   */
  #addCopies(wanted: number, values: number, characters: number): number {
    const copies = Math.min(
      wanted,
      Math.floor((MAX_VALUES - this.#values) / Math.max(values, 1)),
      Math.floor((MAX_CHARACTERS - this.#characters) / Math.max(characters, 1)),
    );
    if (copies <= 0) return 0;
    this.#values += copies * Math.max(values, 1);
    this.#characters += copies * characters;
    return copies;
  }
}

/** The value that the author of the schema gives as an example, or the default. */
function givenExample(schema: SchemaNode): unknown {
  const examples = keyword(schema, 'examples');
  if (Array.isArray(examples) && examples.length > 0) return examples[0];
  return keyword(schema, 'default');
}

function limitOf(schema: SchemaNode, name: string): number | undefined {
  const value = keyword(schema, name);
  return typeof value === 'number' ? value : undefined;
}

function formatOf(schema: SchemaNode): string | undefined {
  const format = keyword(schema, 'format');
  return typeof format === 'string' && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
}

/**
 * Whether the text must match a pattern and has no known format. The pattern is not executed: that
 * of a hostile server may never end.
 */
function hasUnknownPattern(schema: SchemaNode): boolean {
  return keyword(schema, 'pattern') !== undefined && formatOf(schema) === undefined;
}

function textOf(schema: SchemaNode): string {
  const least = Math.min(limitOf(schema, 'minLength') ?? 0, MAX_LENGTH);
  return formatOf(schema) ?? 'x'.repeat(least);
}

function numberOf(schema: SchemaNode): number {
  const [minimum, above] = [limitOf(schema, 'minimum'), limitOf(schema, 'exclusiveMinimum')];
  const [maximum, below] = [limitOf(schema, 'maximum'), limitOf(schema, 'exclusiveMaximum')];
  const least = Math.max(minimum ?? -Infinity, above === undefined ? -Infinity : above + 1);
  const most = Math.min(maximum ?? Infinity, below === undefined ? Infinity : below - 1);
  return Math.min(Math.max(0, least), Math.max(most, least));
}
