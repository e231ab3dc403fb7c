/** Hides the values of metadata, which may be secrets. */

/**
 * Keys, in lower case, whose values are shown. A list of names that may be secrets could not be
 * complete.
 */
const SHOWN: ReadonlySet<string> = new Set([
  'content-type',
  'traceparent',
  'tracestate',
  'user-agent',
  'x-request-id',
]);

/**
 * Metadata with the number of characters in place of each value, except for a few known keys.
 * `showsSecrets`: as it is. Undefined if it has no keys.
 */
export function shownMetadata(
  metadata: Readonly<Record<string, string>> | undefined,
  showsSecrets: boolean,
): Readonly<Record<string, string>> | undefined {
  if (metadata === undefined || Object.keys(metadata).length === 0) return undefined;
  if (showsSecrets) return metadata;
  // No prototype, so that `__proto__` is an ordinary key.
  const shown: Record<string, string> = Object.create(null);
  for (const [key, value] of Object.entries(metadata))
    shown[key] = SHOWN.has(key.toLowerCase()) ? value : hidden(value);
  return shown;
}

function hidden({ length }: string): string {
  return `*** (${length} ${length === 1 ? 'character' : 'characters'})`;
}
