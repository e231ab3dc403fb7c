/**
 * Tells of each outage of a registry once, and of its end: to the logger, or as a warning of the
 * process when there is none.
 */
import { type GettyError, gettyError, messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { warn } from '../../core/warning.js';

export class Outage {
  readonly #name: string;
  readonly #details: object;
  readonly #logger: Logger | undefined;
  #isTold = false;
  #failure: GettyError | undefined;

  /**
   * `name`: the registry with its address, for people to read. `details`: what the log lines hold
   * besides.
   */
  constructor(name: string, details: object, logger: Logger | undefined) {
    this.#name = name;
    this.#details = details;
    this.#logger = logger;
  }

  /** It was told of, and is not over. */
  get isTold(): boolean {
    return this.#isTold;
  }

  /**
   * REGISTRY_FAILED with the registry's address and the cause; undefined: nothing has failed since
   * the registry last answered.
   */
  get failure(): GettyError | undefined {
    return this.#failure;
  }

  /** Something failed. Nothing is told yet: another server of the registry may answer. */
  onFailure(error: unknown, reason = messageOf(error)): void {
    this.#failure = gettyError('REGISTRY_FAILED', `${this.#name}: ${reason}`, error);
  }

  /** The registry cannot be used. `state`: such as "is away"; `message`: the log line. */
  begin(state: string, error: unknown, message: string, reason = messageOf(error)): void {
    this.#failure = gettyError('REGISTRY_FAILED', `${this.#name} ${state}: ${reason}`, error);
    if (this.#isTold) return;
    this.#isTold = true;
    if (this.#logger !== undefined)
      this.#logger.warn({ ...this.#details, error }, `registry: ${message}`);
    else warn(this.#failure);
  }

  /** The registry has answered. */
  end(message: string): void {
    this.#failure = undefined;
    if (!this.#isTold) return;
    this.#isTold = false;
    this.#logger?.info(this.#details, `registry: ${message}`);
  }
}
