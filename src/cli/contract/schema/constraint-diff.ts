/** Compares the limits of values in two versions of a JSON Schema. */
import { CONSTRAINTS, constraintOf } from '../../json-schema/schema-constraints.js';
import { effectiveKeywords, type SchemaNode } from '../../json-schema/schema-forms.js';
import { shown } from '../../output/printable.js';
import type { Interner } from './interner.js';

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
    const [from, to] = [constraintOf(before, name), constraintOf(after, name)];
    if (interner.idOf(from).id === interner.idOf(to).id) continue;
    const isTightened = isTighter(constraint.limit, from, to);
    const what = `${name} ${limitText(from)} → ${limitText(to)}`;
    add(isTightened ? 'constraint-tightened' : 'constraint-loosened', what);
  }
}

const limitText = (limit: unknown): string => (limit === undefined ? 'none' : shown(limit));

/** Whether the limit `to` accepts less than `from`. `limit`: as in CONSTRAINTS. */
function isTighter(limit: 'lower' | 'upper' | 'exact', from: unknown, to: unknown): boolean {
  if (from === undefined || to === undefined || limit === 'exact') return to !== undefined;
  return limit === 'lower' ? Number(to) > Number(from) : Number(to) < Number(from);
}

/** The keywords of both schemas that no part of the comparison handles. */
export function unknownKeywords(before: SchemaNode, after: SchemaNode): string[] {
  const all = new Set([...effectiveKeywords(before), ...effectiveKeywords(after)]);
  return [...all].filter((name) => !HANDLED.has(name));
}
