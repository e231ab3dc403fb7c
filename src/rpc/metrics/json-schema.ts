/**
 * The JSON Schema of a message, from a schema that follows the Standard JSON Schema
 * (https://standardschema.dev/json-schema).
 */
import { promiseOf } from '../../core/callbacks.js';
import type { StandardSchemaV1 } from '../contract/standard-schema.js';
import type { MessageDescription } from '../types.js';

/** The most characters of the JSON Schema of one message. */
const MAX_CHARACTERS = 65_536;
/**
 * The most levels of a JSON Schema. A peer refuses JSON with more than 100 levels, and the answer
 * has some around the schema.
 */
const MAX_DEPTH = 80;
/** The most characters of the name of a library. */
const MAX_VENDOR = 100;

/**
 * What the JSON Schemas of one answer may have together, so that it fits the default
 * maxMessageBytes and maxDecodedObjects of a caller.
 */
export class SchemaBudget {
  characters = 400_000;
  /** Values and names. */
  nodes = 60_000;
}

/** The name of the library of a schema, cut; `unknown` if the schema has none. Never throws. */
export function vendorOf(schema: StandardSchemaV1): string {
  try {
    const vendor: unknown = schema['~standard'].vendor;
    return typeof vendor === 'string' ? vendor.slice(0, MAX_VENDOR) : 'unknown';
  } catch {
    return 'unknown';
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
  let value: unknown;
  let text: string;
  try {
    const converter = schema['~standard'].jsonSchema;
    if (converter === undefined || converter === null) return {};
    const given: unknown = converter[direction]({ target: 'draft-2020-12' });
    const promise = promiseOf(given);
    if (promise !== undefined) {
      promise.catch(() => {});
      return { jsonSchemaOmitted: 'failed' };
    }
    text = JSON.stringify(given);
    if (text.length > MAX_CHARACTERS || text.length > budget.characters)
      return { jsonSchemaOmitted: 'too-large' };
    // A copy without functions, getters and other objects of the library.
    value = JSON.parse(text);
  } catch {
    // Such as a type that JSON Schema does not have.
    return { jsonSchemaOmitted: 'failed' };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { jsonSchemaOmitted: 'failed' };
  const nodes = countNodes(value, MAX_DEPTH);
  if (nodes > budget.nodes) return { jsonSchemaOmitted: 'too-large' };
  budget.characters -= text.length;
  budget.nodes -= nodes;
  return { jsonSchema: value };
}

/** The number of values and names of a value; infinite if it has more than `depth` levels. */
function countNodes(value: unknown, depth: number): number {
  if (typeof value !== 'object' || value === null) return 1;
  if (depth === 0) return Number.POSITIVE_INFINITY;
  const isList = Array.isArray(value);
  return Object.values(value).reduce<number>(
    (nodes, part) => nodes + (isList ? 0 : 1) + countNodes(part, depth - 1),
    1,
  );
}
