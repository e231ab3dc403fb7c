/** What ZooKeeper answers besides success, and what becomes of an operation without an answer. */
import { GettyError } from '../../core/errors.js';

/** ZooKeeper's own numbers. */
const REASONS = {
  [-1]: 'SYSTEM_ERROR',
  [-2]: 'RUNTIME_INCONSISTENCY',
  [-3]: 'DATA_INCONSISTENCY',
  [-5]: 'MARSHALLING_ERROR',
  [-6]: 'UNIMPLEMENTED',
  [-7]: 'OPERATION_TIMEOUT',
  [-8]: 'BAD_ARGUMENTS',
  [-101]: 'NO_NODE',
  [-102]: 'NO_AUTH',
  [-103]: 'BAD_VERSION',
  [-108]: 'NO_CHILDREN_FOR_EPHEMERALS',
  [-110]: 'NODE_EXISTS',
  [-111]: 'NOT_EMPTY',
  [-112]: 'SESSION_EXPIRED',
  [-114]: 'INVALID_ACL',
  [-115]: 'AUTH_FAILED',
  [-118]: 'SESSION_MOVED',
  [-119]: 'NOT_READ_ONLY',
  [-122]: 'REQUEST_TIMEOUT',
  [-125]: 'QUOTA_EXCEEDED',
  [-127]: 'THROTTLED',
} as const;

/**
 * Why an operation failed. The server's answers, and our own: `CONNECTION_LOST` (the operation was
 * under way: whether it was done is not known), `SILENT` (why the connection was given up),
 * `OPERATION_TIMEOUT` (the same, unless it was not sent), `NOT_SENT` (too large, or too many are
 * pending), `REFUSED` (no server takes the session), `READ_ONLY`, `CLOSED`, and `UNKNOWN` for a
 * number that has no name here.
 */
export type ZooKeeperReason =
  | (typeof REASONS)[keyof typeof REASONS]
  | 'CONNECTION_LOST'
  | 'SILENT'
  | 'NOT_SENT'
  | 'REFUSED'
  | 'READ_ONLY'
  | 'CLOSED'
  | 'UNKNOWN';

/** Its `code` is REGISTRY_FAILED; its `reason` says more. */
export class ZooKeeperError extends GettyError {
  readonly reason: ZooKeeperReason;

  constructor(reason: ZooKeeperReason, message: string, cause?: unknown) {
    super('REGISTRY_FAILED', message, cause);
    this.name = 'ZooKeeperError';
    this.reason = reason;
  }
}

/** The error of a number that the server answered. */
export function answered(number: number, name: string, path: string): ZooKeeperError {
  const reason: ZooKeeperReason =
    (REASONS as Readonly<Record<number, ZooKeeperReason>>)[number] ?? 'UNKNOWN';
  return new ZooKeeperError(
    reason,
    `ZooKeeper: ${name} ${path}: ${reason === 'UNKNOWN' ? `error ${number}` : reason}`,
  );
}

/** Undefined for what is no ZooKeeperError. */
export function reasonOf(error: unknown): ZooKeeperReason | undefined {
  return error instanceof ZooKeeperError ? error.reason : undefined;
}

const CONNECTION: readonly (ZooKeeperReason | undefined)[] = [
  'CONNECTION_LOST',
  'OPERATION_TIMEOUT',
  'SESSION_EXPIRED',
  'SESSION_MOVED',
  'REQUEST_TIMEOUT',
  'THROTTLED',
];

/**
 * Whether it failed for want of a connection or a quorum, so that the same may succeed later;
 * otherwise the server refuses it.
 */
export function isConnectionTrouble(error: unknown): boolean {
  return CONNECTION.includes(reasonOf(error));
}
