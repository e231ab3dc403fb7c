/**
 * The forms of a JSON Schema: one for each type of value that it accepts. So `{ type: ['string',
 * 'null'] }` and `{ anyOf: [{ type: 'string' }, { type: 'null' }] }` have the same forms.
 */

import { resolveRef } from './schema-refs.js';

/** A schema that is an object. A schema may be `true` or `false` too. */
export type SchemaNode = Readonly<Record<string, unknown>>;

export interface Form {
  /** `any`: each value. */
  readonly type: string;
  /** The values, of `enum` or `const`. Absent: each value of the type. */
  readonly values?: readonly unknown[] | undefined;
  /** The schema with the other keywords of the type. */
  readonly schema: SchemaNode;
}

/** Keywords that do not change which values are valid. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  '$anchor',
  '$comment',
  '$defs',
  '$id',
  '$schema',
  'default',
  'definitions',
  'deprecated',
  'description',
  'discriminator',
  'example',
  'examples',
  'id',
  'readOnly',
  'title',
  'writeOnly',
]);

/** Keywords that combine schemas. */
const COMBINING: ReadonlySet<string> = new Set(['$ref', 'allOf', 'anyOf', 'oneOf', 'not']);

const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'];

/** The most keywords, values and forms that are read of one document. */
const MAX_COST = 1_000_000;
/** The most levels of references and combined schemas. */
const MAX_DEPTH = 20;
/** The most forms of one schema. */
const MAX_FORMS = 200;

export function isNode(value: unknown): value is SchemaNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const keyword = (schema: SchemaNode, name: string): unknown =>
  Object.hasOwn(schema, name) ? schema[name] : undefined;

/** The keywords that change which values are valid. */
export function effectiveKeywords(schema: SchemaNode): string[] {
  return Object.keys(schema).filter((name) => !ANNOTATIONS.has(name) && !name.startsWith('x-'));
}

/**
 * The forms of a schema in the document `root`. Undefined: it has keywords whose meaning cannot be
 * told by forms, such as an `allOf` of unions; or the document is too large. An empty list: no
 * value is valid.
 */
export function formsOf(schema: unknown, root: unknown): readonly Form[] | undefined {
  if (typeof root !== 'object' || root === null) return new FormReader(root).read(schema, 0);
  const reader = readers.get(root) ?? new FormReader(root);
  readers.set(root, reader);
  return reader.read(schema, 0);
}

/** One reader for each document, so MAX_COST limits all questions about the document together. */
const readers = new WeakMap<object, FormReader>();

class FormReader {
  readonly #root: unknown;
  readonly #known = new Map<SchemaNode, readonly Form[] | undefined>();
  #cost = 0;

  constructor(root: unknown) {
    this.#root = root;
  }

  read(schema: unknown, depth: number): readonly Form[] | undefined {
    if (schema === true) return [{ type: 'any', schema: {} }];
    if (schema === false) return [];
    if (!isNode(schema)) return undefined;
    if (this.#known.has(schema)) return this.#known.get(schema);
    if (depth > MAX_DEPTH || !this.#spend(sizeOf(schema))) return undefined;
    // If the schema combines itself, the inner read finds this entry: it has no forms.
    this.#known.set(schema, undefined);
    const forms = this.#readNode(schema, depth);
    this.#known.set(schema, forms);
    return forms;
  }

  #spend(cost: number): boolean {
    this.#cost += cost;
    return this.#cost <= MAX_COST;
  }

  #readNode(schema: SchemaNode, depth: number): readonly Form[] | undefined {
    const combining = effectiveKeywords(schema).filter((name) => COMBINING.has(name));
    const [only] = combining;
    if (only === undefined) return ownForms(schema);
    if (combining.length > 1) return undefined;
    const { [only]: value, ...rest } = schema;
    const hasMore = effectiveKeywords(rest).some((name) => name !== 'type');
    const parts = Array.isArray(value) ? value : [];
    switch (only) {
      case '$ref':
        return hasMore ? undefined : this.read(resolveRef(this.#root, value), depth + 1);
      case 'allOf':
        return this.#readAll(effectiveKeywords(rest).length > 0 ? [rest, ...parts] : parts, depth);
      case 'not':
        return !hasMore && isNode(value) && effectiveKeywords(value).length === 0 ? [] : undefined;
      default:
        return hasMore ? undefined : this.#readUnion(parts, depth);
    }
  }

  #readUnion(parts: readonly unknown[], depth: number): readonly Form[] | undefined {
    const all: Form[] = [];
    for (const part of parts) {
      const forms = this.read(part, depth + 1);
      if (forms === undefined || all.length + forms.length > MAX_FORMS) return undefined;
      const size = forms.reduce((sum, { values = [] }) => sum + 1 + values.length, 0);
      if (!this.#spend(size)) return undefined;
      all.push(...forms);
    }
    return all.some(({ type }) => type === 'any')
      ? [{ type: 'any', schema: {} }]
      : mergeValues(all);
  }

  /** The forms of an `allOf`: one object that has the properties of all, or the only part. */
  #readAll(parts: readonly unknown[], depth: number): readonly Form[] | undefined {
    const objects: SchemaNode[] = [];
    let others: readonly Form[] | undefined;
    for (const part of parts) {
      const forms = this.read(part, depth + 1);
      if (forms === undefined) return undefined;
      const [form] = forms;
      if (forms.length === 1 && form?.type === 'any') continue;
      if (forms.length === 1 && form?.type === 'object' && form.values === undefined)
        objects.push(form.schema);
      else if (others === undefined) others = forms;
      else return undefined;
    }
    if (others !== undefined) return objects.length === 0 ? others : undefined;
    if (objects.length === 0) return [{ type: 'any', schema: {} }];
    const size = objects.reduce((sum, object) => sum + sizeOf(object), 0);
    if (objects.length > 1 && !this.#spend(size)) return undefined;
    const schema = mergeObjects(objects);
    return schema && [{ type: 'object', schema }];
  }
}

/** Merges the forms of one type that have values: `const: 'a'` and `const: 'b'` are one form. */
function mergeValues(forms: readonly Form[]): readonly Form[] {
  const result: Form[] = [];
  const valuesOf = new Map<string, unknown[]>();
  for (const form of forms) {
    const values = form.values && valuesOf.get(form.type);
    for (const value of values === undefined ? [] : (form.values ?? [])) values?.push(value);
    if (values !== undefined) continue;
    const copy = form.values && [...form.values];
    if (copy !== undefined) valuesOf.set(form.type, copy);
    result.push(copy === undefined ? form : { ...form, values: copy });
  }
  return result;
}

/** The cost of reading a schema: its keywords, values, properties and required names. */
function sizeOf(schema: SchemaNode): number {
  const lists = ['enum', 'type', 'required'].map((name) => keyword(schema, name));
  const properties = Object.keys(propertiesOf(schema)).length;
  return lists.reduce<number>(
    (sum, list) => sum + (Array.isArray(list) ? list.length : 0),
    1 + Object.keys(schema).length + properties,
  );
}

/** The keywords, values and properties of forms. */
export function sizeOfForms(forms: readonly Form[]): number {
  return forms.reduce((sum, { values = [], schema }) => sum + values.length + sizeOf(schema), 0);
}

/** One object with all properties. Undefined if two have one property, or for other keywords. */
function mergeObjects(objects: readonly SchemaNode[]): SchemaNode | undefined {
  if (objects.length === 1) return objects[0];
  const properties: Record<string, unknown> = Object.create(null);
  const required = new Set<unknown>();
  for (const schema of objects) {
    const known = ['type', 'properties', 'required'];
    if (effectiveKeywords(schema).some((name) => !known.includes(name))) return undefined;
    for (const [name, value] of Object.entries(propertiesOf(schema))) {
      if (Object.hasOwn(properties, name)) return undefined;
      properties[name] = value;
    }
    for (const name of requiredOf(schema)) required.add(name);
  }
  return { type: 'object', properties, required: [...required] };
}

/** The forms of a schema that combines no others. */
function ownForms(schema: SchemaNode): readonly Form[] {
  const constant = keyword(schema, 'const');
  const listed = keyword(schema, 'enum');
  const values = constant !== undefined ? [constant] : Array.isArray(listed) ? listed : undefined;
  const declared = typesOf(schema);
  if (values !== undefined) {
    const types = [...new Set(values.map((value) => typeOfValue(value, declared)))];
    return types.map((type) => ({
      type,
      values: values.filter((value) => typeOfValue(value, declared) === type),
      schema,
    }));
  }
  return declared.map((type) => ({ type, schema }));
}

function typesOf(schema: SchemaNode): readonly string[] {
  const type = keyword(schema, 'type');
  const types = (Array.isArray(type) ? type : [type]).filter((name) => TYPES.includes(name));
  if (types.length > 0) return [...new Set(types)];
  if (keyword(schema, 'properties') !== undefined) return ['object'];
  if (keyword(schema, 'items') !== undefined) return ['array'];
  return ['any'];
}

/** The type of a value of `enum`. A number is an `integer` if the schema declares this type. */
function typeOfValue(value: unknown, declared: readonly string[]): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return declared.includes('integer') ? 'integer' : 'number';
  return typeof value;
}

/** The value of `properties`; an empty object if it has none. */
export function propertiesOf(schema: SchemaNode): SchemaNode {
  const properties = keyword(schema, 'properties');
  return isNode(properties) ? properties : {};
}

/** The names in `required`. */
export function requiredOf(schema: SchemaNode): readonly string[] {
  const required = keyword(schema, 'required');
  return Array.isArray(required) ? required.filter((name) => typeof name === 'string') : [];
}
