/** Metadata: an object of strings that travels beside a call, its reply or its error. */
import { badOption } from '../../core/options.js';
import { setKey } from '../../core/records.js';
import type { Metadata } from './types.js';

/** The one empty metadata. Every metadata without a key is this object, so compare with it. */
export const NO_METADATA: Metadata = Object.freeze(Object.create(null));

/** The most keys of a metadata: to read or copy a key takes as long as hundreds of bytes. */
export const MAX_METADATA_KEYS = 256;

/**
 * A copy without a prototype, or NO_METADATA when there is no key. Throws BAD_OPTION unless `given`
 * is an object of strings. It is a copy, so that a later change of `given` changes no call in
 * flight.
 */
export function checkMetadata(given: Metadata): Metadata {
  if (given === NO_METADATA) return given;
  // A Map, an array and Headers have no own keys or meaningless ones. Without this check they would
  // be sent as nothing.
  if (typeof given !== 'object' || given === null || Symbol.iterator in given)
    throw badOption('metadata', given, 'an object of strings');
  let copy: Record<string, string> | undefined;
  const keys = Object.keys(given);
  if (keys.length > MAX_METADATA_KEYS)
    throw badOption('metadata', `${keys.length} keys`, `at most ${MAX_METADATA_KEYS} keys`);
  for (const key of keys) {
    const value = given[key];
    if (typeof value !== 'string') throw badOption(`metadata.${key}`, value, 'a string');
    copy ??= Object.create(null) as Record<string, string>;
    setKey(copy, key, value);
  }
  return copy ?? NO_METADATA;
}

/**
 * An empty metadata for a handler to fill. Setting anything but a string throws BAD_OPTION. The
 * number of keys is checked when it is sent.
 */
export function writableMetadata(): Record<string, string> {
  return new Proxy(Object.create(null), STRINGS_ONLY);
}

const STRINGS_ONLY: ProxyHandler<Record<string, string>> = {
  // An assignment calls this trap too.
  defineProperty(target, key, descriptor) {
    if (typeof key !== 'string') throw badOption('replyMetadata', key, 'a string as its key');
    // An existing property may change its attributes without a value.
    const isString =
      typeof descriptor.value === 'string' ||
      (!('value' in descriptor) && descriptor.get === undefined && Object.hasOwn(target, key));
    if (!isString || descriptor.set !== undefined) {
      const given = 'value' in descriptor ? descriptor.value : descriptor.get;
      throw badOption(`replyMetadata.${key}`, given, 'a string');
    }
    return Reflect.defineProperty(target, key, descriptor);
  },
};

export function hasKeys(map: Metadata): boolean {
  for (const _ in map) return true;
  return false;
}
