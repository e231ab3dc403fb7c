/** Logs each problem of one entry once, also if it is found again and again. */
import { gettyError, messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { warn } from '../../core/warning.js';

export class ProblemLog {
  readonly #path: string;
  readonly #logger: Logger | undefined;
  #last = '';

  /**
   * `path`: the path of the entry, for the log line. Without a logger, a problem with an error
   * becomes a warning of the process, REGISTRY_FAILED.
   */
  constructor(path: string, logger: Logger | undefined) {
    this.#path = path;
    this.#logger = logger;
  }

  /**
   * Logs the problem unless it is the one that was logged last. `reason`
   * distinguishes problems with the same message.
   */
  logOnce(
    message: string,
    error?: unknown,
    reason = error === undefined ? '' : messageOf(error),
  ): void {
    const problem = `${message}: ${reason}`;
    if (problem === this.#last) return;
    this.#last = problem;
    if (this.#logger !== undefined)
      this.#logger.warn({ path: this.#path, error }, `registry: ${message}`);
    else if (error !== undefined)
      warn(gettyError('REGISTRY_FAILED', `${this.#path}: ${message}: ${messageOf(error)}`, error));
  }

  /** Must be called when the problem has ended. If it occurs again, it is logged again. */
  reset(): void {
    this.#last = '';
  }
}
