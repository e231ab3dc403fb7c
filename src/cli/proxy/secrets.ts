/** Hides the values of metadata, which may be secrets. */

/**
 * The keys, in lower case, whose values are shown; docs/cli.md lists them. All others are hidden,
 * because a list of the keys of secrets could not be complete.
 */
const SHOWN_KEYS: ReadonlySet<string> = new Set([
  'content-type',
  'traceparent',
  'tracestate',
  'user-agent',
  'x-request-id',
]);

/**
 * Metadata for a record: the number of characters replaces each value, except those of SHOWN_KEYS.
 * With `showsSecrets` no value is replaced. Undefined if there are no keys.
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
    shown[key] = SHOWN_KEYS.has(key.toLowerCase()) ? value : hidden(value);
  return shown;
}

function hidden({ length }: string): string {
  return `*** (${length} ${length === 1 ? 'character' : 'characters'})`;
}
