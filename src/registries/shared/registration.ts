/** One call of register(), as the owner of its entry and as the receiver of its state. */
import { checkCallback, notify } from '../../core/callbacks.js';
import { gettyError, messageOf } from '../../core/errors.js';
import { warn } from '../../core/warning.js';
import type { PublicationListener } from '../../micro/types.js';

/** The log line for an entry whose path another process has taken over. */
export const TAKEN_OVER =
  'another process has published this entry; it is left alone until the other entry is gone';

/**
 * The owner of an entry is the newest Registration of its path. An older one must not withdraw the
 * entry. Owners are compared by the identity of this object.
 */
export class Registration {
  readonly #path: string;
  readonly #listener: PublicationListener | undefined;
  #isPublished: boolean | undefined;

  /**
   * `isPublished`: the state that the caller of register() knows without a report. undefined: none,
   * so the first report calls the listener. Throws BAD_OPTION.
   */
  constructor(path: string, listener: PublicationListener | undefined, isPublished?: boolean) {
    checkCallback('onPublished', listener);
    this.#path = path;
    this.#listener = listener;
    this.#isPublished = isPublished;
  }

  /**
   * Calls the listener if the state has changed. An error of the listener becomes a warning of the
   * process, HANDLER_FAILED.
   */
  report(isPublished: boolean): void {
    if (this.#isPublished === isPublished) return;
    this.#isPublished = isPublished;
    const listener = this.#listener;
    if (listener === undefined) return;
    notify(
      () => listener(isPublished),
      (error) =>
        warn(
          gettyError(
            'HANDLER_FAILED',
            `onPublished of the entry ${this.#path} failed: ${messageOf(error)}`,
            error,
          ),
        ),
    );
  }
}
