/** Defaults, names and ranges of the client's options. */
import type { NamesOf, Ranges } from '../../../core/options.js';
import { LONGEST_TIMER } from '../../../core/timers.js';
import type { ZooKeeperClientOptions } from '../types.js';

/** Times in milliseconds, sizes in bytes. */
export const CLIENT_DEFAULTS = {
  sessionTimeout: 10_000,
  operationTimeout: 5_000,
  initialDelay: 100,
  maxDelay: 1_000,
  maxRequestBytes: 1024 * 1024 - 1,
  maxResponseBytes: 8 * 1024 * 1024,
  maxPending: 20_000,
} satisfies ZooKeeperClientOptions;

export const CLIENT_NAMES = {
  sessionTimeout: true,
  operationTimeout: true,
  initialDelay: true,
  maxDelay: true,
  maxRequestBytes: true,
  maxResponseBytes: true,
  maxPending: true,
  credentials: true,
  acl: true,
  tls: true,
  onState: true,
} satisfies NamesOf<ZooKeeperClientOptions>;

export const CLIENT_RANGES: Ranges<typeof CLIENT_DEFAULTS> = {
  sessionTimeout: [100, LONGEST_TIMER],
  operationTimeout: [1, LONGEST_TIMER],
  initialDelay: [1, LONGEST_TIMER],
  maxDelay: [1, LONGEST_TIMER],
  maxRequestBytes: [1_024, 2 ** 31 - 1],
  maxResponseBytes: [1_024, 2 ** 31 - 1],
  maxPending: [1, Number.POSITIVE_INFINITY],
};
