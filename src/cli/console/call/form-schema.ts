/**
 * The schema of a form, from what a node says about the argument of a method. A node may say
 * anything, so the schema has a limited number of parts, each of the expected type.
 */
import type { FieldDescription, MessageDescription } from '../../../rpc/index.js';
import { isNode, type SchemaNode } from '../../json-schema/schema-forms.js';
import { resolveRef } from '../../json-schema/schema-refs.js';
import type { FormSchema } from '../types.js';
import type { SchemaLimit } from './schema-limit.js';

/** The most levels of a schema, and the most references that lead to one part of it. */
const MAX_DEPTH = 6;
/** The most parts of one schema. */
const MAX_PARTS = 400;
/** The most characters of a description, or of a value of `enum`. */
const MAX_DESCRIPTION = 300;
/** The most names of types: JSON Schema has seven. */
const MAX_TYPES = 7;
const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean'] as const;

/** The argument of a method; undefined if the node does not describe it. */
export function formSchemaOf(
  message: MessageDescription | undefined,
  limit: SchemaLimit,
): FormSchema | undefined {
  if (message === undefined) return undefined;
  const { jsonSchema, fields } = message;
  if (jsonSchema !== undefined) return new SchemaReader(jsonSchema, limit).read();
  return fields === undefined ? undefined : schemaOfFields(fields, limit);
}

/** Reads the parts of JSON Schema that a form can show. Other parts are left out. */
class SchemaReader {
  readonly #root: unknown;
  readonly #limit: SchemaLimit;
  /** The first properties of each object: references may lead to a large one many times. */
  readonly #firstProperties = new Map<SchemaNode, readonly (readonly [string, unknown])[]>();
  #parts = 0;

  constructor(root: unknown, limit: SchemaLimit) {
    this.#root = root;
    this.#limit = limit;
  }

  read(): FormSchema | undefined {
    return isNode(this.#root) ? this.#schema(this.#root, 0) : undefined;
  }

  #schema(given: unknown, depth: number): FormSchema {
    if (++this.#parts > MAX_PARTS || depth > MAX_DEPTH || this.#limit.isReached) return {};
    this.#limit.addPart();
    const value = this.#resolve(given);
    if (value === undefined) return {};
    const type = typeOf(value);
    return {
      type,
      title: this.#text(value.title),
      description: this.#text(value.description),
      properties: type === 'object' ? this.#properties(value.properties, depth) : undefined,
      required: this.#required(value.required),
      items:
        type === 'array' && value.items !== undefined
          ? this.#schema(value.items, depth + 1)
          : undefined,
      enum: this.#enum(value),
      default: isScalar(value.default) ? this.#scalar(value.default) : undefined,
    };
  }

  #text(value: unknown): string | undefined {
    return typeof value === 'string' ? this.#limit.text(value, MAX_DESCRIPTION) : undefined;
  }

  #required(given: unknown): FormSchema['required'] {
    if (!Array.isArray(given)) return undefined;
    const names = given.slice(0, MAX_PARTS).filter((name) => typeof name === 'string');
    return names.map((name) => this.#limit.text(name));
  }

  #enum(value: SchemaNode): FormSchema['enum'] {
    const given = 'const' in value ? [value.const] : value.enum;
    if (!Array.isArray(given)) return undefined;
    const values = given.slice(0, MAX_PARTS).filter(isScalar);
    return values.length > 0 ? values.map((each) => this.#scalar(each)) : undefined;
  }

  /** Counts a value. It is not made printable: the page sends it in a call. */
  #scalar(value: Scalar): Scalar {
    if (typeof value === 'string') this.#limit.text(value, MAX_DESCRIPTION);
    else this.#limit.addPart();
    return value;
  }

  #properties(given: unknown, depth: number): FormSchema['properties'] {
    if (!isNode(given)) return undefined;
    const properties: Record<string, FormSchema> = Object.create(null);
    const first = this.#firstProperties.get(given) ?? Object.entries(given).slice(0, MAX_PARTS);
    this.#firstProperties.set(given, first);
    for (const [name, value] of first) {
      if (this.#parts > MAX_PARTS || this.#limit.isReached) break;
      properties[this.#limit.text(name)] = this.#schema(value, depth + 1);
    }
    return properties;
  }

  /** Follows references within the document, and takes the first alternative that is not null. */
  #resolve(given: unknown): SchemaNode | undefined {
    let value = given;
    for (let step = 0; step < MAX_DEPTH && isNode(value); step++) {
      const alternatives = value.anyOf ?? value.oneOf;
      if (value.$ref !== undefined) value = resolveRef(this.#root, value.$ref);
      else if (Array.isArray(alternatives) && value.type === undefined)
        value = alternatives
          .slice(0, MAX_PARTS)
          .find((each) => isNode(each) && each.type !== 'null');
      else return value;
    }
    return undefined;
  }
}

function typeOf(value: SchemaNode): FormSchema['type'] {
  const names: unknown[] = Array.isArray(value.type)
    ? value.type.slice(0, MAX_TYPES)
    : [value.type];
  // Of an integer or a string, a field shows the string: it can have all values of both.
  const found = TYPES.find((type) => names.includes(type));
  if (found !== undefined) return found;
  return isNode(value.properties) ? 'object' : undefined;
}

type Scalar = string | number | boolean | null;

const isScalar = (value: unknown): value is Scalar =>
  value === null ||
  typeof value === 'number' ||
  typeof value === 'boolean' ||
  (typeof value === 'string' && value.length <= MAX_DESCRIPTION);

/** The scalar types of Protobuf in its JSON form, in which 64-bit integers are strings. */
const SCALARS: Readonly<Record<string, FormSchema['type']>> = {
  double: 'number',
  float: 'number',
  int32: 'integer',
  uint32: 'integer',
  sint32: 'integer',
  fixed32: 'integer',
  sfixed32: 'integer',
  int64: 'string',
  uint64: 'string',
  sint64: 'string',
  fixed64: 'string',
  sfixed64: 'string',
  bool: 'boolean',
  string: 'string',
  bytes: 'string',
  'google.protobuf.Timestamp': 'string',
  'google.protobuf.Duration': 'string',
};

function schemaOfFields(fields: readonly FieldDescription[], limit: SchemaLimit): FormSchema {
  const properties: Record<string, FormSchema> = Object.create(null);
  for (const { name, type, oneof } of fields.slice(0, MAX_PARTS)) {
    if (limit.isReached) break;
    const hint = oneof === undefined ? type : `${type}; one of ${oneof}`;
    properties[limit.text(name)] = { ...schemaOfType(type), description: limit.text(hint) };
  }
  return { type: 'object', properties };
}

function schemaOfType(type: string): FormSchema {
  if (type.startsWith('map<')) return { type: 'object' };
  if (type.startsWith('repeated '))
    return { type: 'array', items: schemaOfValue(type.slice('repeated '.length)) };
  return schemaOfValue(type);
}

function schemaOfValue(type: string): FormSchema {
  return Object.hasOwn(SCALARS, type) ? { type: SCALARS[type] } : { type: 'object' };
}

/**
 * An argument to begin with: defaults, and empty values. It may violate limits of the schema that a
 * form does not show.
 */
export function exampleOf(schema: FormSchema | undefined, depth = 0): unknown {
  if (schema === undefined) return undefined;
  if (schema.default !== undefined) return schema.default;
  if (schema.enum !== undefined) return schema.enum[0];
  switch (schema.type) {
    case 'object': {
      const example: Record<string, unknown> = Object.create(null);
      if (depth < MAX_DEPTH)
        for (const [name, property] of Object.entries(schema.properties ?? {}))
          example[name] = exampleOf(property, depth + 1) ?? null;
      return example;
    }
    case 'array':
      return [];
    case 'string':
      return '';
    case 'number':
    case 'integer':
      return 0;
    case 'boolean':
      return false;
    default:
      return undefined;
  }
}
