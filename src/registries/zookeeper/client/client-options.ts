/** Defaults, names and ranges of the options of the client and of its operations. */
import {
  badSecret,
  checkNames,
  checkObject,
  type Names,
  type NamesOf,
  type Ranges,
} from '../../../core/options.js';
import { LONGEST_TIMER } from '../../../core/timers.js';
import type {
  CreateOptions,
  MultiOperation,
  Watcher,
  WatchOptions,
  ZooKeeperClientOptions,
} from '../types.js';

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
  maxRequestBytes: [1_024, 2 ** 31 - 1, 'integer'],
  maxResponseBytes: [1_024, 2 ** 31 - 1, 'integer'],
  maxPending: [1, Number.POSITIVE_INFINITY, 'integer'],
};

/** Milliseconds that close() waits for the end of the session. */
export const CLOSE_TIMEOUT = 2_000;

const WATCH_NAMES = { watch: true } satisfies NamesOf<WatchOptions>;
export const CREATE_NAMES = { ephemeral: true, acl: true } satisfies NamesOf<CreateOptions>;
const MULTI_NAMES = {
  create: { type: true, path: true, data: true, ...CREATE_NAMES },
  delete: { type: true, path: true, version: true },
  setData: { type: true, path: true, data: true, version: true },
  check: { type: true, path: true, version: true },
} satisfies { [Type in MultiOperation['type']]: NamesOf<Extract<MultiOperation, { type: Type }>> };

/** The names of all operations. */
const ALL_MULTI_NAMES: Names = { ...MULTI_NAMES.create, ...MULTI_NAMES.setData };

/** Throws BAD_OPTION for an operation of multi() that is no object or has an unknown name. */
export function checkOperation(operation: MultiOperation): void {
  const place = 'an operation of multi()';
  checkObject(place, operation);
  checkNames(place, operation, ALL_MULTI_NAMES);
  checkNames(`the ${operation.type} of multi()`, operation, MULTI_NAMES[operation.type]);
}

/** Throws BAD_OPTION, which shows only the type of a secret. */
export function checkCredentials(credentials: unknown): void {
  if (credentials === undefined) return;
  if (typeof credentials !== 'string' || !/^[^:]+:/.test(credentials))
    throw badSecret('credentials', credentials, 'user:password');
}

/** Throws BAD_OPTION. */
export function watcherOf(options: WatchOptions): Watcher | undefined {
  checkNames('a watch', options, WATCH_NAMES);
  return options.watch;
}
