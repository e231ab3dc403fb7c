/** The query of a registry's URL: what its nodes serve, and how they are reached. */
import { gettyError } from '../../core/errors.js';

/** Splits a URL at its first question mark. */
export function splitQuery(given: string): { readonly text: string; readonly query: string } {
  const at = given.indexOf('?');
  if (at < 0) return { text: given, query: '' };
  return { text: given.slice(0, at), query: given.slice(at + 1) };
}

/** The values by name. Throws BAD_ADDRESS for a name that is not in `names` or occurs twice. */
export function readQuery(
  kind: string,
  query: string,
  names: readonly string[],
): Record<string, string> {
  const values: Record<string, string> = {};
  const expected = names.join(', ');
  for (const [name, value] of new URLSearchParams(query)) {
    if (!names.includes(name) || Object.hasOwn(values, name))
      // The name may be a part of a secret that is not percent-encoded.
      throw gettyError(
        'BAD_ADDRESS',
        `registry: the query of a ${kind}: URL has an unknown name, or one that occurs twice; ` +
          `expected ${expected}, each once`,
      );
    values[name] = value;
  }
  return values;
}

/** Percent-decodes a part. Throws BAD_ADDRESS, which does not show it. */
export function decodePart(kind: string, part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw gettyError(
      'BAD_ADDRESS',
      `registry: a part of a ${kind}: URL is not percent-encoded; write % as %25`,
    );
  }
}
