/** Finds properties of an argument that its JSON Schema does not know. */
import { nearestTo, show } from '../../core/options.js';
import { type Form, formsOf, isNode, keyword, propertiesOf } from '../json-schema/schema-forms.js';

/** The most levels of an argument that are compared. */
const MAX_DEPTH = 20;
/** The most objects and arrays that are compared. */
const MAX_VALUES = 10_000;
/** The most warnings of one argument. */
const MAX_WARNINGS = 5;

/**
 * A warning for each property of `value` that `schema` does not know. Many libraries remove such a
 * property without an error. A property is known if any form of its object has it or allows others.
 */
export function unknownProperties(schema: object, value: unknown): string[] {
  const search = new PropertySearch(schema);
  search.compare(schema, value, '', 0);
  return search.warnings;
}

class PropertySearch {
  readonly warnings: string[] = [];
  readonly #root: object;
  #values = 0;

  constructor(root: object) {
    this.#root = root;
  }

  compare(schema: unknown, value: unknown, path: string, depth: number): void {
    if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return;
    if (this.warnings.length >= MAX_WARNINGS || ++this.#values > MAX_VALUES) return;
    const forms = formsOf(schema, this.#root) ?? [];
    if (forms.some(({ type }) => type === 'any')) return;
    if (Array.isArray(value)) return this.#compareItems(forms, value, path, depth);
    const objects = forms.filter(({ type }) => type === 'object');
    // Another type is an error, which the server reports.
    if (objects.length === 0 || objects.some(isOpen)) return;
    const known = [...new Set(objects.flatMap((form) => Object.keys(propertiesOf(form.schema))))];
    for (const [name, part] of Object.entries(value)) {
      const field = path === '' ? name : `${path}.${name}`;
      const schemas = objects.flatMap((form) => keyword(propertiesOf(form.schema), name) ?? []);
      if (schemas.length === 0) this.#warn(field, nearestTo(name, known));
      if (schemas.length === 1) this.compare(schemas[0], part, field, depth + 1);
    }
  }

  #compareItems(
    forms: readonly Form[],
    values: readonly unknown[],
    path: string,
    depth: number,
  ): void {
    const arrays = forms.filter(({ type }) => type === 'array');
    const items = arrays.length === 1 && arrays[0] && keyword(arrays[0].schema, 'items');
    if (!isNode(items) || arrays.some((form) => keyword(form.schema, 'prefixItems'))) return;
    for (const [at, value] of values.entries())
      this.compare(items, value, `${path}[${at}]`, depth + 1);
  }

  #warn(field: string, nearest: string | undefined): void {
    if (this.warnings.length >= MAX_WARNINGS) return;
    const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`;
    this.warnings.push(`the JSON Schema of the method has no property ${show(field)}${hint}`);
  }
}

/**
 * Whether an object may have other properties than those of `properties`: it allows them, or names
 * none. Patterns of a server are not run, because one may take very long.
 */
function isOpen({ schema, values }: Form): boolean {
  if (keyword(schema, 'patternProperties') !== undefined || values !== undefined) return true;
  const others = keyword(schema, 'additionalProperties');
  if (others !== undefined) return others !== false;
  return Object.keys(propertiesOf(schema)).length === 0;
}
