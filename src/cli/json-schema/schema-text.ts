/** JSON Schemas as text for people. */
import { cut, shown } from '../output/printable.js';
import { CONSTRAINTS, constraintOf } from './schema-constraints.js';
import { type Form, formsOf, isNode, keyword } from './schema-forms.js';
import { definitionName, resolveRef } from './schema-refs.js';

/** The most characters of a type. */
const MAX_TEXT = 80;
/** The most values of an enum, and the most forms, that are shown. */
const MAX_VALUES = 8;

/** The type of a schema as in TypeScript: `string | null`, `"a" | "b"`, `Item[]`. */
export function typeText(schema: unknown, root: unknown): string {
  return formsText(formsOf(schema, root), root);
}

/** The forms as one type. Undefined: it cannot be told by forms. `depth`: the arrays around it. */
export function formsText(forms: readonly Form[] | undefined, root: unknown, depth = 0): string {
  if (forms === undefined) return 'other';
  if (forms.length === 0) return 'never';
  const texts = forms.slice(0, MAX_VALUES).map((form) => formText(form, root, depth));
  if (forms.length > MAX_VALUES) texts.push('…');
  return cut([...new Set(texts)].join(' | '), MAX_TEXT);
}

function formText({ type, values, schema }: Form, root: unknown, depth: number): string {
  if (values !== undefined) {
    const more = values.length > MAX_VALUES ? ' | …' : '';
    const texts = values.slice(0, MAX_VALUES).map((value) => shown(value, MAX_TEXT));
    return texts.join(' | ') + more;
  }
  if (type !== 'array') return type;
  const items = keyword(schema, 'items');
  if (!isNode(items) || depth > 2) return 'array';
  const text =
    definitionName(keyword(items, '$ref')) ?? formsText(formsOf(items, root), root, depth + 1);
  return text.includes(' | ') ? `(${text})[]` : `${text}[]`;
}

/** The constraints of a schema, and its default: `format email, minLength 1, default "a"`. */
export function rulesText(schema: unknown, root: unknown): string {
  const ref = isNode(schema) ? keyword(schema, '$ref') : undefined;
  const node = ref === undefined ? schema : resolveRef(root, ref);
  if (!isNode(node)) return '';
  const rules: string[] = Object.keys(CONSTRAINTS).flatMap((name) => {
    const value = constraintOf(node, name);
    if (value === undefined) return [];
    return [`${name} ${typeof value === 'string' ? cut(value, MAX_TEXT) : shown(value, MAX_TEXT)}`];
  });
  const value = keyword(node, 'default');
  if (value !== undefined) rules.push(`default ${shown(value, MAX_TEXT)}`);
  return cut(rules.join(', '), MAX_TEXT);
}
