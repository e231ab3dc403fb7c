/** The references of a JSON Schema. */

/** The most characters of a reference. Longer ones are not followed. */
const MAX_REF = 1_000;

/** The schemas that were found, by document and reference. */
const resolved = new WeakMap<object, Map<string, unknown>>();

/** The schema that `#/$defs/Name` names in `root`. Undefined: none, or in another document. */
export function resolveRef(root: unknown, ref: unknown): unknown {
  if (ref === '#') return root;
  if (typeof ref !== 'string' || !ref.startsWith('#/') || ref.length > MAX_REF) return undefined;
  if (typeof root !== 'object' || root === null) return undefined;
  const known = resolved.get(root) ?? new Map<string, unknown>();
  resolved.set(root, known);
  if (!known.has(ref)) known.set(ref, findPart(root, ref));
  return known.get(ref);
}

function findPart(root: object, ref: string): unknown {
  let found: unknown = root;
  for (const part of ref.slice(2).split('/')) {
    if (typeof found !== 'object' || found === null) return undefined;
    const name = decodePart(part);
    found = Object.hasOwn(found, name) ? Reflect.get(found, name) : undefined;
  }
  return found;
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
  } catch {
    return part;
  }
}

/** The name of a definition: `Item` of `#/$defs/Item`. */
export function definitionName(ref: unknown): string | undefined {
  return typeof ref === 'string' && ref.length <= MAX_REF
    ? /^#\/(?:\$defs|definitions)\/([^/]+)$/.exec(ref)?.[1]
    : undefined;
}
