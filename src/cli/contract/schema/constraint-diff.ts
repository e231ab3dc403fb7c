/** Compares the limits of values in two versions of a JSON Schema. */
import { effectiveKeywords, keyword, type SchemaNode } from '../../json-schema/schema-forms.js';
import { shown } from '../../output/printable.js';
import type { Interner } from './interner.js';

interface Constraint {
  /** The type that it limits. */
  readonly type: 'string' | 'number' | 'array' | 'object';
  /**
   * `lower`: a larger value accepts less. `upper`: a smaller value accepts less. `exact`: a schema
   * without it accepts more, and which of two values accepts more is unknown.
   */
  readonly limit: 'lower' | 'upper' | 'exact';
}

const CONSTRAINTS: Readonly<Record<string, Constraint>> = {
  minLength: { type: 'string', limit: 'lower' },
  maxLength: { type: 'string', limit: 'upper' },
  pattern: { type: 'string', limit: 'exact' },
  format: { type: 'string', limit: 'exact' },
  contentEncoding: { type: 'string', limit: 'exact' },
  contentMediaType: { type: 'string', limit: 'exact' },
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
};

/** Keywords that the comparison of forms, objects and arrays handles. */
const HANDLED: ReadonlySet<string> = new Set([
  ...Object.keys(CONSTRAINTS),
  'additionalProperties',
  'allOf',
  'anyOf',
  'const',
  'enum',
  'items',
  'oneOf',
  'prefixItems',
  'properties',
  'required',
  'type',
]);

export type ConstraintRule = 'constraint-tightened' | 'constraint-loosened';

/** Compares the limits of the values of one type. */
export function compareConstraints(
  type: string,
  before: SchemaNode,
  after: SchemaNode,
  interner: Interner,
  add: (rule: ConstraintRule, what: string) => void,
): void {
  const limited = type === 'integer' ? 'number' : type;
  for (const [name, constraint] of Object.entries(CONSTRAINTS)) {
    if (limited !== 'any' && limited !== constraint.type) continue;
    const [from, to] = [limitOf(before, name), limitOf(after, name)];
    if (interner.idOf(from).id === interner.idOf(to).id) continue;
    const isTightened = isTighter(constraint.limit, from, to);
    const what = `${name} ${from === undefined ? 'none' : shown(from)} → ${to === undefined ? 'none' : shown(to)}`;
    add(isTightened ? 'constraint-tightened' : 'constraint-loosened', what);
  }
}

/** The value of a constraint; undefined if it limits nothing. */
function limitOf(schema: SchemaNode, name: string): unknown {
  const value = keyword(schema, name);
  // zod gives each integer the limits of JavaScript.
  const isLimit = value !== false && Math.abs(Number(value)) !== Number.MAX_SAFE_INTEGER;
  return isLimit ? value : undefined;
}

function isTighter(limit: Constraint['limit'], from: unknown, to: unknown): boolean {
  if (from === undefined || to === undefined || limit === 'exact') return to !== undefined;
  return limit === 'lower' ? Number(to) > Number(from) : Number(to) < Number(from);
}

/** The keywords of both that no comparison handles. */
export function unknownKeywords(before: SchemaNode, after: SchemaNode): string[] {
  const all = new Set([...effectiveKeywords(before), ...effectiveKeywords(after)]);
  return [...all].filter((name) => !HANDLED.has(name));
}
