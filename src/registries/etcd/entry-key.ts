/** The texts of keys and values, which any program may have written. */

/** A longer key is no entry. */
const MAX_KEY_BYTES = 16 * 1024;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Throws TypeError if the bytes are not UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  return UTF8.decode(bytes);
}

/** Returns the key as text. undefined: it is too long or not UTF-8. */
export function keyText(key: Uint8Array): string | undefined {
  if (key.length > MAX_KEY_BYTES) return undefined;
  try {
    return decodeText(key);
  } catch {
    return undefined;
  }
}
