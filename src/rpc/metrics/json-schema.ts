/**
 * The description of a message: from its codec, or the JSON Schema of a schema that follows the
 * Standard JSON Schema (https://standardschema.dev/json-schema).
 */
import { promiseOf } from '../../core/callbacks.js';
import type { StandardSchemaV1 } from '../contract/standard-schema.js';
import type { FieldDescription, MessageCodec, MessageDescription } from '../types.js';
import { boundedCopy } from './bounded-copy.js';

/** The most characters of the JSON Schema, or of the description, of one message. */
const MAX_CHARACTERS = 65_536;
/**
 * The most levels of a JSON Schema. A peer refuses JSON with more than 100 levels, and the answer
 * has some around the schema.
 */
const MAX_DEPTH = 80;
/** The most characters of the name of a library. */
const MAX_VENDOR = 100;
/** The vendor of a schema or codec that does not name it. */
const UNKNOWN = 'unknown';
const OMISSIONS = ['failed', 'too-large'] as const;

/**
 * What the descriptions of one answer may have together, so that it fits the default
 * maxMessageBytes and maxDecodedObjects of a caller.
 */
export class SchemaBudget {
  #characters = 400_000;
  /** Values and names. */
  #nodes = 60_000;

  /**
   * A copy of what code of a user has returned, without functions, getters and other objects of a
   * library. Undefined: it is too large, and nothing of the budget is used. Throws if `given` is a
   * promise or has no JSON.
   */
  copy(given: unknown): unknown {
    const promise = promiseOf(given);
    if (promise !== undefined) {
      promise.catch(() => {});
      throw new TypeError('a promise');
    }
    const copy = boundedCopy(given, {
      characters: Math.min(MAX_CHARACTERS, this.#characters),
      nodes: this.#nodes,
      depth: MAX_DEPTH,
    });
    if (copy === undefined) return undefined;
    this.#characters -= copy.characters;
    this.#nodes -= copy.nodes;
    return copy.value;
  }
}

/** The name of the library of a schema, cut; `unknown` if the schema has none. Never throws. */
export function vendorOf(schema: StandardSchemaV1): string {
  try {
    return nameOf(schema['~standard'].vendor);
  } catch {
    return UNKNOWN;
  }
}

type Described = Pick<MessageDescription, 'jsonSchema' | 'jsonSchemaOmitted'>;

/**
 * The JSON Schema of what a caller gives (`input`) or gets (`output`). Without one: why it is
 * missing, unless the library of the schema has no JSON Schemas. Never throws.
 */
export function jsonSchemaOf(
  schema: StandardSchemaV1,
  direction: 'input' | 'output',
  budget: SchemaBudget,
): Described {
  try {
    const converter = schema['~standard'].jsonSchema;
    if (converter === undefined || converter === null) return {};
    const copy = budget.copy(converter[direction]({ target: 'draft-2020-12' }));
    if (copy === undefined) return { jsonSchemaOmitted: 'too-large' };
    return isObject(copy) ? { jsonSchema: copy } : { jsonSchemaOmitted: 'failed' };
  } catch {
    // Such as a type that JSON Schema does not have.
    return { jsonSchemaOmitted: 'failed' };
  }
}

/**
 * What a codec tells of its messages: the properties of a MessageDescription that have their types.
 * Undefined: the codec tells nothing. Never throws.
 */
export function descriptionOf(
  codec: MessageCodec | undefined,
  budget: SchemaBudget,
): MessageDescription | undefined {
  try {
    const given = codec?.describe?.();
    if (given === undefined) return undefined;
    const copy = budget.copy(given);
    if (copy === undefined) return { vendor: nameOf(given.vendor), jsonSchemaOmitted: 'too-large' };
    if (!isObject(copy)) return { vendor: UNKNOWN, jsonSchemaOmitted: 'failed' };
    const { vendor, type, fields, jsonSchema, jsonSchemaOmitted } = copy;
    return {
      vendor: nameOf(vendor),
      type: typeof type === 'string' ? type : undefined,
      fields: Array.isArray(fields) ? fields.filter(isField) : undefined,
      jsonSchema: isObject(jsonSchema) ? jsonSchema : undefined,
      jsonSchemaOmitted: OMISSIONS.find((reason) => reason === jsonSchemaOmitted),
    };
  } catch {
    return { vendor: UNKNOWN, jsonSchemaOmitted: 'failed' };
  }
}

function nameOf(vendor: unknown): string {
  return typeof vendor === 'string' ? vendor.slice(0, MAX_VENDOR) : UNKNOWN;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isField(value: unknown): value is FieldDescription {
  if (!isObject(value)) return false;
  const { name, number, type } = value;
  return typeof name === 'string' && typeof number === 'number' && typeof type === 'string';
}
