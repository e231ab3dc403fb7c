/** Hides the values of metadata that may be secrets. */

/** Names of keys, in part. */
const SECRET = /auth|token|secret|passw|cookie|credential|signature|session|api-?_?key|private/i;
const HIDDEN = '***';

/** Metadata with `***` for each secret. `showsSecrets`: as it is. Undefined if it has no keys. */
export function shownMetadata(
  metadata: Readonly<Record<string, string>> | undefined,
  showsSecrets: boolean,
): Readonly<Record<string, string>> | undefined {
  if (metadata === undefined || Object.keys(metadata).length === 0) return undefined;
  if (showsSecrets) return metadata;
  // No prototype, so that `__proto__` is an ordinary key.
  const shown: Record<string, string> = Object.create(null);
  for (const [key, value] of Object.entries(metadata))
    shown[key] = SECRET.test(key) ? HIDDEN : value;
  return shown;
}
