/** What travels beside a call. */
import { badOption } from '../core/options.js';
import type { Metadata } from './types.js';

/** The one empty metadata: compare with it to know that there is none. */
export const NO_METADATA: Metadata = Object.freeze(Object.create(null));

/** Throws BAD_OPTION unless it is an object of strings. */
export function checkMetadata(given: Metadata): Metadata {
  if (typeof given !== 'object' || given === null) throw badOption('metadata', given, 'an object of strings');
  for (const [key, value] of Object.entries(given)) if (typeof value !== 'string') throw badOption(`metadata.${key}`, value, 'a string');
  return given;
}
