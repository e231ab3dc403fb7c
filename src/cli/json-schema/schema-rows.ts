/** The fields of a JSON Schema, one row for each, for people. */
import {
  type Form,
  formsOf,
  isNode,
  keyword,
  propertiesOf,
  requiredOf,
  type SchemaNode,
} from './schema-forms.js';
import { rulesText, typeText } from './schema-text.js';

export interface SchemaRow {
  /** Such as `address.zip` or `items[].name`. */
  readonly field: string;
  readonly type: string;
  readonly isRequired: boolean;
  readonly rules: string;
}

const MAX_ROWS = 200;
/** The most levels of objects and arrays. */
const MAX_DEPTH = 6;

/** The fields of an object, and those of objects in it. Other values have no rows. */
export function schemaRows(schema: object): SchemaRow[] {
  const rows: SchemaRow[] = [];
  addRows(schema, schema, '', 0, new Set(), rows);
  return rows;
}

function addRows(
  schema: unknown,
  root: object,
  path: string,
  depth: number,
  parents: ReadonlySet<SchemaNode>,
  rows: SchemaRow[],
): void {
  if (rows.length >= MAX_ROWS) return;
  const [form, ...others] = (formsOf(schema, root) ?? []).filter(({ type }) => type !== 'null');
  if (form === undefined || others.length > 0 || depth > MAX_DEPTH) return;
  // A schema that refers to itself is shown once.
  if (parents.has(form.schema)) return;
  const within = new Set([...parents, form.schema]);
  const items = itemsOf(form);
  if (items !== undefined) return addRows(items, root, `${path}[]`, depth + 1, within, rows);
  if (form.type !== 'object') return;
  const required = new Set(requiredOf(form.schema));
  for (const [name, value] of Object.entries(propertiesOf(form.schema))) {
    if (rows.length >= MAX_ROWS) return;
    const field = path === '' ? name : `${path}.${name}`;
    const [type, rules] = [typeText(value, root), rulesText(value, root)];
    rows.push({ field, type, isRequired: required.has(name), rules });
    addRows(value, root, field, depth + 1, within, rows);
  }
}

function itemsOf({ type, schema }: Form): SchemaNode | undefined {
  const items = type === 'array' ? keyword(schema, 'items') : undefined;
  return isNode(items) ? items : undefined;
}
