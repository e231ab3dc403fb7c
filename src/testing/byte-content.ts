/** Values with bytes in them: compared by content, and copied. */
import { isDeepStrictEqual } from 'node:util';

/**
 * Whether two messages are equal. A Buffer equals a Uint8Array with the same bytes, and an object
 * without a prototype equals a literal with the same properties.
 */
export function equalContent(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(plain(a), plain(b));
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (Array.isArray(value)) return value.map(plain);
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

/** A copy of a message whose bytes are copied too. Objects of classes are not copied. */
export function copyContent(value: unknown): unknown {
  return plain(value);
}

function isRecord(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}
