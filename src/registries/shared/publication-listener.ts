/**
 * Calls the listener of a registration; what it throws is a warning of the process and does not
 * reach the registry.
 */
import { notify } from '../../core/callbacks.js';
import { gettyError, messageOf } from '../../core/errors.js';
import { warn } from '../../core/warning.js';
import type { PublicationListener } from '../../micro/types.js';

/** `path`: of the entry, for the warning. */
export function guardedListener(
  path: string,
  listener: PublicationListener | undefined,
): PublicationListener | undefined {
  if (listener === undefined) return undefined;
  return (isPublished) =>
    notify(
      () => listener(isPublished),
      (error) =>
        warn(
          gettyError(
            'HANDLER_FAILED',
            `onPublished of the entry ${path} failed: ${messageOf(error)}`,
            error,
          ),
        ),
    );
}
