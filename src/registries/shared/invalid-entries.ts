/**
 * Reports the invalid entries of a registry: each reason of an entry once, and of very many entries
 * the first ones only, because any program that may write to the registry can make them.
 */
import { messageOf } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { warn } from '../../core/warning.js';
import { badEntry } from '../../micro/registry-entry.js';

/** The number of invalid entries that are reported. */
export const MAX_INVALID = 1_000;

export class InvalidEntries {
  readonly #logger: Logger | undefined;
  /** Why an entry is invalid, by path. */
  readonly #reasons = new Map<string, string>();
  /** The paths of them that were reported since beginRead(). */
  readonly #recent = new Set<string>();

  /** Without a logger, each invalid entry becomes a warning of the process, REGISTRY_FAILED. */
  constructor(logger: Logger | undefined) {
    this.#logger = logger;
  }

  /** Reports an entry, unless it was reported with this reason, an error or a text. */
  report(path: string, reason: unknown): void {
    const text = messageOf(reason);
    const before = this.#reasons.get(path);
    if (before === undefined && this.#reasons.size > MAX_INVALID) return;
    this.#recent.add(path);
    if (before === text || this.#reasons.size > MAX_INVALID) return;
    this.#reasons.set(path, text);
    if (this.#reasons.size > MAX_INVALID)
      this.#emit(path, `over ${MAX_INVALID} entries are invalid, no more are logged`);
    else {
      // A warning of the process is an error itself.
      const error = typeof reason !== 'string' ? reason : this.#logger && badEntry(path, reason);
      this.#emit(path, 'skipped an invalid entry', text, error);
    }
  }

  /** The entry is valid or gone. If it becomes invalid, it is reported again. */
  forget(path: string): void {
    this.#reasons.delete(path);
    this.#recent.delete(path);
  }

  /** Must be called before all entries are read. */
  beginRead(): void {
    this.#recent.clear();
  }

  /**
   * Forgets the entries that were not reported since beginRead() and that `isLeft` does not return
   * true for.
   */
  endRead(isLeft: (path: string) => boolean): void {
    this.keepOnly((path) => this.#recent.has(path) || isLeft(path));
  }

  /** Forgets the entries that `isLeft` does not return true for. */
  keepOnly(isLeft: (path: string) => boolean): void {
    for (const path of [...this.#reasons.keys()]) if (!isLeft(path)) this.forget(path);
  }

  #emit(path: string, message: string, reason?: string, error?: unknown): void {
    if (this.#logger !== undefined)
      this.#logger.warn(error === undefined ? { path } : { path, error }, `registry: ${message}`);
    else warn(badEntry(path, reason === undefined ? message : `skipped: ${reason}`, error));
  }
}
