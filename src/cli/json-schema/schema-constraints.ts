/** The keywords of JSON Schema that limit the values of one type. */
import { keyword, type SchemaNode } from './schema-forms.js';

interface Constraint {
  /** The type that it limits. `number` includes integers. */
  readonly type: 'string' | 'number' | 'array' | 'object';
  /**
   * `lower`: a larger value accepts less. `upper`: a smaller value accepts less. `exact`: a schema
   * without it accepts more, and which of two values accepts more is unknown.
   */
  readonly limit: 'lower' | 'upper' | 'exact';
}

/** In the order in which people see them. */
export const CONSTRAINTS: Readonly<Record<string, Constraint>> = {
  format: { type: 'string', limit: 'exact' },
  pattern: { type: 'string', limit: 'exact' },
  minLength: { type: 'string', limit: 'lower' },
  maxLength: { type: 'string', limit: 'upper' },
  minimum: { type: 'number', limit: 'lower' },
  exclusiveMinimum: { type: 'number', limit: 'lower' },
  maximum: { type: 'number', limit: 'upper' },
  exclusiveMaximum: { type: 'number', limit: 'upper' },
  multipleOf: { type: 'number', limit: 'exact' },
  minItems: { type: 'array', limit: 'lower' },
  maxItems: { type: 'array', limit: 'upper' },
  uniqueItems: { type: 'array', limit: 'exact' },
  minProperties: { type: 'object', limit: 'lower' },
  maxProperties: { type: 'object', limit: 'upper' },
  contentEncoding: { type: 'string', limit: 'exact' },
  contentMediaType: { type: 'string', limit: 'exact' },
};

/** The value of a constraint. Undefined if it limits nothing, such as `uniqueItems: false`. */
export function constraintOf(schema: SchemaNode, name: string): unknown {
  const value = keyword(schema, name);
  // zod gives each integer the limits of the safe integers of JavaScript.
  const isLimit = value !== false && Math.abs(Number(value)) !== Number.MAX_SAFE_INTEGER;
  return isLimit ? value : undefined;
}
