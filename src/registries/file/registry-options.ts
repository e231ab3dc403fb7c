/** The options of the registry, with their names and defaults. */
import type { Logger } from '../../core/logger.js';
import type { NamesOf } from '../../core/options.js';
import { ENTRY_LIMITS } from '../shared/entry-budget.js';

export interface FileRegistryOptions {
  /**
   * Milliseconds without a heartbeat after which the entries of this process leave the lists of all
   * processes, for example because its event loop is blocked. It sends a heartbeat each quarter of
   * this time. Entries of other processes are judged by their own ttl, and by this one only if
   * theirs is unknown, for example because a person wrote the file. A node that is missing after an
   * outage of the directory stays in the lists of this process for this time. Default: 2,000.
   */
  ttl?: number | undefined;
  /** Milliseconds between two scans of the directory while there is a watch. Default: 200. */
  pollInterval?: number | undefined;
  /** The most entries in memory, of all watches; further ones are skipped. Default: 1,000,000. */
  maxEntries?: number | undefined;
  /**
   * The most bytes of memory for them: their texts, twice, and about 350 bytes for each entry.
   * Default: 536,870,912 (512 MiB).
   */
  maxBytes?: number | undefined;
  /**
   * Logs each of these once: the directory cannot be read or can be read again, an entry is invalid
   * (up to a thousand of them), an entry cannot be kept alive. Default: none; then each failure is
   * one warning of the process.
   */
  logger?: Logger | undefined;
}

export const FILE_REGISTRY_NAMES = {
  ttl: true,
  pollInterval: true,
  maxEntries: true,
  maxBytes: true,
  logger: true,
} satisfies NamesOf<FileRegistryOptions>;

/** Times in milliseconds, sizes in bytes. */
export const FILE_REGISTRY_DEFAULTS = {
  ttl: 2_000,
  pollInterval: 200,
  ...ENTRY_LIMITS,
} satisfies FileRegistryOptions;
