/** Compares two versions of a JSON Schema. */
import {
  type Form,
  formsOf,
  isNode,
  keyword,
  type SchemaNode,
  sizeOfForms,
} from '../../json-schema/schema-forms.js';
import { resolveRef } from '../../json-schema/schema-refs.js';
import { formsText } from '../../json-schema/schema-text.js';
import { shown } from '../../output/printable.js';
import { type ChangeList, placeIn } from '../change-list.js';
import type { RuleId } from '../rules.js';
import { compareConstraints, unknownKeywords } from './constraint-diff.js';
import { pairForms } from './form-pairs.js';
import { Interner } from './interner.js';
import { ObjectDiff } from './object-diff.js';
import type { Direction, SchemaComparison, SchemaRule } from './schema-comparison.js';

/** The most levels of a value. */
const MAX_DEPTH = 100;

/** Compares the schemas of one message. */
export class SchemaDiff implements SchemaComparison {
  readonly direction: Direction;
  readonly #before: unknown;
  readonly #after: unknown;
  readonly #list: ChangeList;
  readonly #interner = new Interner();
  /** The pairs that were compared. A schema may refer to itself, which would not end. */
  readonly #seen = new Map<unknown, Set<unknown>>();

  constructor(direction: Direction, before: unknown, after: unknown, list: ChangeList) {
    this.direction = direction;
    this.#before = before;
    this.#after = after;
    this.#list = list;
  }

  /** `where`: the message, such as `Greeter v1 hello input`. */
  compareAll(where: string): void {
    if (this.#interner.idOf(this.#before).id === this.#interner.idOf(this.#after).id) return;
    this.compare(this.#before, this.#after, where, 0);
  }

  add(rule: SchemaRule, where: string, what: string): void {
    this.#list.add(`${this.direction}-${rule}` as RuleId, where, what);
  }

  addRule(rule: RuleId, where: string, what: string): void {
    this.#list.add(rule, where, what);
  }

  /** Compares two schemas at one place. */
  compare(before: unknown, after: unknown, where: string, depth: number): void {
    if (!this.#list.step() || this.#isEqual(before, after)) return;
    const [from, to] = [this.#resolve(before, this.#before), this.#resolve(after, this.#after)];
    if (this.#isSeen(from, to)) return;
    if (depth > MAX_DEPTH) return this.#list.skip(where, 'it has too many levels');
    this.#compareDefaults(defaultOf(before, from), defaultOf(after, to), where);
    const formsBefore = formsOf(before, this.#before);
    const formsAfter = formsOf(after, this.#after);
    if (formsBefore === undefined || formsAfter === undefined)
      return this.#list.skip(
        where,
        'the JSON Schema combines schemas in a way that is not compared',
      );
    this.#compareForms(formsBefore, formsAfter, where, depth);
  }

  #isEqual(before: unknown, after: unknown): boolean {
    const interned = this.#interner.idOf(before);
    return !interned.hasRef && interned.id === this.#interner.idOf(after).id;
  }

  #resolve(schema: unknown, root: unknown): unknown {
    return isNode(schema) && keyword(schema, '$ref') !== undefined
      ? resolveRef(root, keyword(schema, '$ref'))
      : schema;
  }

  #isSeen(before: unknown, after: unknown): boolean {
    const seen = this.#seen.get(before) ?? new Set();
    if (seen.has(after)) return true;
    this.#seen.set(before, seen.add(after));
    return false;
  }

  #compareDefaults(from: unknown, to: unknown, where: string): void {
    if (from !== undefined && to !== undefined && !this.#isEqual(from, to))
      this.add('default-changed', where, `${shown(from)} → ${shown(to)}`);
  }

  #compareForms(
    before: readonly Form[],
    after: readonly Form[],
    where: string,
    depth: number,
  ): void {
    const size = sizeOfForms(before) + sizeOfForms(after);
    if (!this.#list.step(before.length * after.length + size)) return;
    const { pairs, gone, added } = pairForms(before, after, this.#interner);
    const what = `${formsText(before, this.#before)} → ${formsText(after, this.#after)}`;
    const isAny = (forms: readonly Form[]): boolean => forms.some(({ type }) => type === 'any');
    if (isAny(before) !== isAny(after))
      return this.add(isAny(before) ? 'type-narrowed' : 'type-widened', where, what);
    if (gone.length > 0)
      this.add('type-narrowed', where, `${what}, without ${formsText(gone, this.#before)}`);
    if (added.length > 0) {
      const names = formsText(added, this.#after);
      this.add('type-widened', where, `${what}, with ${names}`);
    }
    for (const [from, to] of pairs) {
      if (from.type === 'number' && to.type === 'integer') this.add('type-narrowed', where, what);
      if (from.type === 'integer' && to.type === 'number') this.add('type-widened', where, what);
      this.#compareForm(from, to, where, depth);
    }
  }

  #compareForm(before: Form, after: Form, where: string, depth: number): void {
    if (this.#compareValues(before, after, where)) return;
    const { type } = after;
    compareConstraints(type, before.schema, after.schema, this.#interner, (rule, what) =>
      this.add(rule, where, what),
    );
    if (type === 'object') new ObjectDiff(this, depth).compare(before.schema, after.schema, where);
    if (type === 'array') this.#compareArrays(before.schema, after.schema, where, depth);
    if (type === 'null' || type === 'boolean') return;
    for (const name of unknownKeywords(before.schema, after.schema))
      if (!this.#isEqual(keyword(before.schema, name), keyword(after.schema, name)))
        this.#list.skip(where, `the keyword ${shown(name)} has changed, and is not compared`);
  }

  /** Compares the values of enums. False: neither form is an enum. */
  #compareValues(before: Form, after: Form, where: string): boolean {
    const [from, to] = [before.values, after.values];
    if (from === undefined && to === undefined) return false;
    const what = `${formsText([before], this.#before)} → ${formsText([after], this.#after)}`;
    if (from === undefined || to === undefined) {
      this.add(from === undefined ? 'type-narrowed' : 'type-widened', where, what);
      return true;
    }
    const idsOf = (values: readonly unknown[]) =>
      new Map(values.map((value) => [this.#interner.idOf(value).id, value]));
    const [idsBefore, idsAfter] = [idsOf(from), idsOf(to)];
    for (const [id, value] of idsBefore)
      if (!idsAfter.has(id) && !this.#list.isStopped)
        this.add('enum-value-removed', where, shown(value));
    for (const [id, value] of idsAfter)
      if (!idsBefore.has(id) && !this.#list.isStopped)
        this.add('enum-value-added', where, shown(value));
    return true;
  }

  #compareArrays(before: SchemaNode, after: SchemaNode, where: string, depth: number): void {
    const tuples = [before, after].map((schema) => keyword(schema, 'prefixItems'));
    const [from = [], to = []] = tuples.map((tuple) => (Array.isArray(tuple) ? tuple : []));
    const itemsOf = (schema: SchemaNode): unknown => keyword(schema, 'items') ?? true;
    for (let at = 0; at < Math.max(from.length, to.length); at++)
      this.compare(
        at < from.length ? from[at] : itemsOf(before),
        at < to.length ? to[at] : itemsOf(after),
        placeIn(where, `[${at}]`),
        depth + 1,
      );
    this.compare(itemsOf(before), itemsOf(after), placeIn(where, '[]'), depth + 1);
  }
}

/** The default of a schema, or else of the definition that its reference names. */
function defaultOf(schema: unknown, resolved: unknown): unknown {
  const own = isNode(schema) ? keyword(schema, 'default') : undefined;
  return own ?? (isNode(resolved) ? keyword(resolved, 'default') : undefined);
}
