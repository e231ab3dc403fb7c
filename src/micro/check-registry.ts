/** The check of the option `registry`. */
import { promiseOf } from '../core/callbacks.js';
import { gettyError } from '../core/errors.js';
import { badOption } from '../core/options.js';
import type { Registry } from './types.js';

/** Throws BAD_OPTION unless `given` has the method `method` of a Registry. */
export function checkRegistry(given: unknown, method: 'watch' | 'register'): void {
  if (typeof (given as Partial<Registry> | null | undefined)?.[method] === 'function') return;
  if (promiseOf(given) !== undefined)
    throw gettyError('BAD_OPTION', 'registry: got a promise, expected a Registry: await it first');
  throw badOption('registry', given, 'a Registry');
}
