/** Orders JSON values so that equal values have equal text on every machine. */

/** A copy of a value with the keys of all its objects in order. */
export function withSortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withSortedKeys);
  if (typeof value !== 'object' || value === null) return value;
  const result: Record<string, unknown> = Object.create(null);
  for (const key of Object.keys(value).sort())
    result[key] = withSortedKeys(Reflect.get(value, key));
  return result;
}

/** Sorts as `<` does, which does not depend on the language of the machine. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
