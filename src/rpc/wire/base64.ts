/** Base64, on Node.js and in browsers. */
import { type Bytes, decode, wrap } from '../../core/bytes.js';

export function toBase64(bytes: Uint8Array): string {
  if (globalThis.Buffer !== undefined) return globalThis.Buffer.from(bytes).toString('base64');
  return btoa(decode(bytes as Bytes, 0, bytes.length, 'latin1'));
}

/** Undefined for invalid Base64 in a browser. Node.js skips invalid characters. */
export function fromBase64(text: string): Bytes | undefined {
  if (globalThis.Buffer !== undefined) return globalThis.Buffer.from(text, 'base64');
  try {
    return wrap(Uint8Array.from(atob(text), (unit) => unit.charCodeAt(0)).buffer);
  } catch {
    return undefined;
  }
}
