/**
 * Reports each outage of a registry once, and its end. It reports to the logger, or as a warning of
 * the process without one.
 */
import { type GettyError, gettyError, messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { warn } from '../../core/warning.js';

export class Outage {
  readonly #name: string;
  readonly #details: object;
  readonly #logger: Logger | undefined;
  #isActive = false;
  #failure: GettyError | undefined;

  /** `name`: the registry with its address, for messages. `details`: fields of the log lines. */
  constructor(name: string, details: object, logger: Logger | undefined) {
    this.#name = name;
    this.#details = details;
    this.#logger = logger;
  }

  /**
   * REGISTRY_FAILED with the registry's address and the cause. undefined: nothing has failed since
   * the registry last answered.
   */
  get failure(): GettyError | undefined {
    return this.#failure;
  }

  /** Whether begin() was called after the last end(). */
  get isActive(): boolean {
    return this.#isActive;
  }

  /** Keeps the failure without a report, because another server of the registry may answer. */
  onFailure(error: unknown, reason = messageOf(error)): void {
    this.#failure = gettyError('REGISTRY_FAILED', `${this.#name}: ${reason}`, error);
  }

  /**
   * Reports that the registry cannot be used. `state` is for the error, such as "cannot be
   * reached", after all servers have failed. `message` is the log line.
   */
  begin(state: string, error: unknown, message: string, reason = messageOf(error)): void {
    this.#failure = gettyError('REGISTRY_FAILED', `${this.#name} ${state}: ${reason}`, error);
    if (this.#isActive) return;
    this.#isActive = true;
    if (this.#logger !== undefined)
      this.#logger.warn({ ...this.#details, error }, `registry: ${message}`);
    else warn(this.#failure);
  }

  /** Reports that the registry has answered. `message`: the log line. */
  end(message: string): void {
    this.#failure = undefined;
    if (!this.#isActive) return;
    this.#isActive = false;
    this.#logger?.info(this.#details, `registry: ${message}`);
  }
}
