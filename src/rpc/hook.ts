/** Functions that a user gives to be told of something: one that fails must not harm the call. */
import { gettyError, messageOf } from '../core/errors.js';
import { badOption } from '../core/options.js';
import { warn } from '../core/warning.js';

/** Throws BAD_OPTION. */
export function checkHook(name: string, hook: unknown): void {
  if (hook !== undefined && typeof hook !== 'function') throw badOption(name, hook, 'a function');
}

/** Call it; what it throws becomes a process warning, HANDLER_FAILED. */
export function tell(name: string, hook: () => void): void {
  try {
    hook();
  } catch (error) {
    warn(gettyError('HANDLER_FAILED', `${name} failed: ${messageOf(error)}`, error));
  }
}
