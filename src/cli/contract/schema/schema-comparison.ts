/** What SchemaDiff offers to the parts of the comparison, such as ObjectDiff. */
import type { RuleId } from '../rules.js';

export type Direction = 'input' | 'output';

/** The rules that inputs and outputs have, without their prefix. */
export type SchemaRule =
  | 'closed'
  | 'constraint-loosened'
  | 'constraint-tightened'
  | 'default-changed'
  | 'enum-value-added'
  | 'enum-value-removed'
  | 'field-added'
  | 'field-optional'
  | 'field-required'
  | 'opened'
  | 'type-narrowed'
  | 'type-widened';

export interface SchemaComparison {
  readonly direction: Direction;
  /** Adds a change. `where`: its place in the message; `what`: what has changed. */
  add(rule: SchemaRule, where: string, what: string): void;
  /** As add(), for a rule of one direction. */
  addRule(rule: RuleId, where: string, what: string): void;
  /** Compares two schemas at one place. `depth`: the levels around it. */
  compare(before: unknown, after: unknown, where: string, depth: number): void;
}
