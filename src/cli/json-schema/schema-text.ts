/** JSON Schemas as text for people. */
import { cut, shown } from '../output/printable.js';
import { type Form, formsOf, isNode, keyword } from './schema-forms.js';
import { definitionName, resolveRef } from './schema-refs.js';

/** The most characters of a type. */
const MAX_TEXT = 80;
/** The most values of an enum that are shown. */
const MAX_VALUES = 8;

/** The type of a schema as in TypeScript: `string | null`, `"a" | "b"`, `Item[]`. */
export function typeText(schema: unknown, root: unknown): string {
  return formsText(formsOf(schema, root), root);
}

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

/** The keywords that limit the values of a type, in the order in which they are shown. */
export const CONSTRAINTS = [
  'format',
  'pattern',
  'minLength',
  'maxLength',
  'minimum',
  'exclusiveMinimum',
  'maximum',
  'exclusiveMaximum',
  'multipleOf',
  'minItems',
  'maxItems',
  'uniqueItems',
  'minProperties',
  'maxProperties',
] as const;

/** The limits of a schema: `minLength 1, format email`. */
export function rulesText(schema: unknown, root: unknown): string {
  const ref = isNode(schema) ? keyword(schema, '$ref') : undefined;
  const node = ref === undefined ? schema : resolveRef(root, ref);
  if (!isNode(node)) return '';
  const rules: string[] = CONSTRAINTS.flatMap((name) => {
    const value = keyword(node, name);
    // The limits of integers of JavaScript, which zod adds to each integer.
    if (value === undefined || Math.abs(Number(value)) === Number.MAX_SAFE_INTEGER) return [];
    return [`${name} ${typeof value === 'string' ? cut(value, MAX_TEXT) : shown(value, MAX_TEXT)}`];
  });
  const value = keyword(node, 'default');
  if (value !== undefined) rules.push(`default ${shown(value, MAX_TEXT)}`);
  return cut(rules.join(', '), MAX_TEXT);
}
