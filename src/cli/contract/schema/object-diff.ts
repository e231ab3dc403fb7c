/** Compares two versions of the JSON Schema of an object. */
import {
  effectiveKeywords,
  isNode,
  keyword,
  propertiesOf,
  requiredOf,
  type SchemaNode,
} from '../../json-schema/schema-forms.js';
import { shown } from '../../output/printable.js';
import { placeIn } from '../change-list.js';
import type { SchemaComparison } from './schema-comparison.js';

export class ObjectDiff {
  readonly #parent: SchemaComparison;
  readonly #depth: number;

  constructor(parent: SchemaComparison, depth: number) {
    this.#parent = parent;
    this.#depth = depth;
  }

  compare(before: SchemaNode, after: SchemaNode, where: string): void {
    const [from, to] = [propertiesOf(before), propertiesOf(after)];
    const [requiredBefore, requiredAfter] = [before, after].map((one) => new Set(requiredOf(one)));
    const isRequiredBefore = (name: string): boolean => requiredBefore?.has(name) === true;
    const isRequired = (name: string): boolean => requiredAfter?.has(name) === true;
    const others = otherFieldsOf(after);
    const othersBefore = otherFieldsOf(before);
    for (const name of namesOf(from, requiredBefore)) {
      const at = placeIn(where, `.${name}`);
      if (hasField(to, requiredAfter, name)) {
        if (isRequired(name) && !isRequiredBefore(name))
          this.#parent.add('field-required', at, 'optional → required');
        if (!isRequired(name) && isRequiredBefore(name))
          this.#parent.add('field-optional', at, 'required → optional');
        this.#compareField(keyword(from, name), keyword(to, name), at);
      } else {
        this.#addRemoved(name, at, isRequiredBefore(name), others);
        // The field is one of the others now, and may have another type.
        if (isNode(others)) this.#compareField(keyword(from, name), others, at);
      }
    }
    for (const name of namesOf(to, requiredAfter)) {
      if (hasField(from, requiredBefore, name)) continue;
      const at = placeIn(where, `.${name}`);
      if (isRequired(name) && this.#parent.direction === 'input')
        this.#parent.add('field-required', at, 'new, required');
      else
        this.#parent.add('field-added', at, isRequired(name) ? 'new, required' : 'new, optional');
      // A field that was one of the others before has a type already.
      if (isNode(othersBefore))
        this.#parent.compare(othersBefore, keyword(to, name), at, this.#depth + 1);
    }
    this.#compareOthers(othersBefore, others, where);
  }

  #compareField(before: unknown, after: unknown, where: string): void {
    this.#parent.compare(before ?? true, after ?? true, where, this.#depth + 1);
  }

  #addRemoved(name: string, where: string, wasRequired: boolean, others: unknown): void {
    const what = `${shown(name)} is gone`;
    if (this.#parent.direction === 'input')
      this.#parent.addRule(
        others === false ? 'input-field-refused' : 'input-field-removed',
        where,
        what,
      );
    else
      this.#parent.addRule(
        wasRequired ? 'output-field-removed' : 'output-optional-field-removed',
        where,
        what,
      );
  }

  /** Compares the fields that `properties` does not name. */
  #compareOthers(before: unknown, after: unknown, where: string): void {
    const at = placeIn(where, '.*');
    if (before === after) return;
    if (isNode(before) && isNode(after))
      return this.#parent.compare(before, after, at, this.#depth + 1);
    const what = `other fields: ${opennessOf(before)} → ${opennessOf(after)}`;
    // Open, then a schema, then closed.
    const isClosed = after === false || before === true;
    this.#parent.add(isClosed ? 'closed' : 'opened', at, what);
  }
}

/** The value of `additionalProperties`; true if it is absent or accepts each value. */
function otherFieldsOf(schema: SchemaNode): unknown {
  const others = keyword(schema, 'additionalProperties') ?? true;
  return isNode(others) && effectiveKeywords(others).length === 0 ? true : others;
}

const opennessOf = (others: unknown): string =>
  others === true ? 'accepted' : others === false ? 'refused' : 'of one type';

function namesOf(properties: SchemaNode, required: ReadonlySet<string> | undefined): string[] {
  return [...new Set([...Object.keys(properties), ...(required ?? [])])];
}

function hasField(
  properties: SchemaNode,
  required: ReadonlySet<string> | undefined,
  name: string,
): boolean {
  return Object.hasOwn(properties, name) || required?.has(name) === true;
}
