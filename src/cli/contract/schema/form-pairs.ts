/** Pairs the forms of two versions of a schema. */
import { type Form, isNode, keyword, propertiesOf } from '../../json-schema/schema-forms.js';
import type { Interner } from './interner.js';

export interface FormPairs {
  readonly pairs: readonly (readonly [before: Form, after: Form])[];
  /** Forms that one of the two versions does not have. */
  readonly gone: readonly Form[];
  readonly added: readonly Form[];
}

/**
 * Pairs equal forms first, then objects with the same constant properties, such as
 * `kind: 'circle'`, then forms of one type, then an integer with a number. In each step a form is
 * paired only if no other form of its version has the same key.
 */
export function pairForms(
  before: readonly Form[],
  after: readonly Form[],
  interner: Interner,
): FormPairs {
  const pairs: [Form, Form][] = [];
  let [gone, added] = [[...before], [...after]];
  const pairBy = (keyOf: (form: Form) => unknown): void => {
    const keysBefore = countKeys(gone, keyOf);
    const keysAfter = countKeys(added, keyOf);
    const byKey = new Map(added.map((form) => [keyOf(form), form]));
    gone = gone.filter((form) => {
      const key = keyOf(form);
      const found = byKey.get(key);
      if (found === undefined || keysBefore.get(key) !== 1 || keysAfter.get(key) !== 1) return true;
      pairs.push([form, found]);
      added = added.filter((other) => other !== found);
      return false;
    });
  };
  pairBy(({ type, schema, values }) => `${type} ${interner.idOf(schema).id} ${values?.length}`);
  pairBy((form) => `${form.type} ${tagsOf(form, interner)}`);
  pairBy(({ type }) => type);
  pairBy(({ type }) => (type === 'integer' ? 'number' : type));
  return { pairs, gone, added };
}

function countKeys(forms: readonly Form[], keyOf: (form: Form) => unknown): Map<unknown, number> {
  const counts = new Map<unknown, number>();
  for (const form of forms) counts.set(keyOf(form), (counts.get(keyOf(form)) ?? 0) + 1);
  return counts;
}

/** The constant properties of an object, as text. */
function tagsOf({ type, schema }: Form, interner: Interner): string {
  if (type !== 'object') return '';
  const tags = Object.entries(propertiesOf(schema)).flatMap(([name, value]) => {
    const constant = isNode(value) ? constantOf(value) : undefined;
    return constant === undefined ? [] : [[name, interner.idOf(constant).id]];
  });
  return JSON.stringify(tags.sort());
}

/** The value of `const`, or of an `enum` with one value. */
function constantOf(schema: Readonly<Record<string, unknown>>): unknown {
  const values = keyword(schema, 'enum');
  if (Array.isArray(values) && values.length === 1) return values[0];
  return keyword(schema, 'const');
}
