/** Finds fields of an argument that its Protobuf message does not have. */
import { nearestTo, show } from '../../core/options.js';

/** The name of a message and of its fields, as far as they are known. */
export interface MessageFields {
  readonly type?: string | undefined;
  readonly fields?: readonly { readonly name: string }[] | undefined;
}

/** Messages of Protobuf itself have a JSON form of their own. */
const WELL_KNOWN = 'google.protobuf.';
/** The most names in an error. */
const MAX_NAMES = 20;

/**
 * Throws an Error for a field of `value` that the message does not have, which a server ignores in
 * JSON. Messages in it are not checked.
 */
export function checkFields({ type, fields }: MessageFields, value: unknown): void {
  if (type === undefined || fields === undefined || type.startsWith(WELL_KNOWN)) return;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
  const known = new Set(fields.map(({ name }) => plain(name)));
  // `[name]` is an extension.
  const unknown = Object.keys(value).find((key) => !known.has(plain(key)) && !key.startsWith('['));
  if (unknown === undefined) return;
  const names = fields.map(({ name }) => name);
  const nearest = nearestTo(unknown, names);
  const list = names.slice(0, MAX_NAMES).join(', ') || 'none';
  const more = names.length > MAX_NAMES ? ' …' : '';
  throw new Error(
    `the message ${type} has no field ${show(unknown)}; ` +
      (nearest === undefined ? `its fields: ${list}${more}` : `did you mean ${nearest}?`),
  );
}

/** JSON has `itemCount` for `item_count`, and accepts both. */
const plain = (name: string): string => name.replaceAll('_', '').toLowerCase();
