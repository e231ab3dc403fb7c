/** Logs each problem of one entry once, however often it is found again. */
import { gettyError, messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { warn } from '../../core/warning.js';

export class ProblemLog {
  readonly #path: string;
  readonly #logger: Logger | undefined;
  #last = '';

  /**
   * `path`: of the entry, for the log line. Without a logger, a problem with an error becomes a
   * warning of the process, REGISTRY_FAILED.
   */
  constructor(path: string, logger: Logger | undefined) {
    this.#path = path;
    this.#logger = logger;
  }

  /**
   * Logs the problem unless it is the one that was logged last. `reason`: tells problems with the
   * same message apart.
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

  /** The problem is over: if it returns, it is logged again. */
  reset(): void {
    this.#last = '';
  }
}
