/** The errors of ZooKeeper operations. */
import { GettyError } from '../../../core/errors.js';

/** ZooKeeper's error numbers. */
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
 * Why an operation failed. The server's reasons have ZooKeeper's own names. The client adds these:
 *
 * - `CONNECTION_LOST`: the connection ended before the answer; the operation may have been done
 * - `SILENT`: the server sent nothing, or answered pings only, so the connection was closed
 * - `OPERATION_TIMEOUT`: no answer in time; the operation may have been done if it was sent
 * - `TOO_MANY_CHILDREN`: the node has more children than the client reads
 * - `NOT_SENT`: the request is too large, or too many operations are pending
 * - `REFUSED`: the server closed the connection instead of accepting the session
 * - `READ_ONLY`: the server has lost its quorum
 * - `CLOSED`: the client is closed
 * - `UNKNOWN`: the server's error number has no name here
 */
export type ZooKeeperReason =
  | (typeof REASONS)[keyof typeof REASONS]
  | 'CONNECTION_LOST'
  | 'SILENT'
  | 'TOO_MANY_CHILDREN'
  | 'NOT_SENT'
  | 'REFUSED'
  | 'READ_ONLY'
  | 'CLOSED'
  | 'UNKNOWN';

/**
 * The error of every ZooKeeper operation. Its `code` is REGISTRY_FAILED; its `reason` says more.
 */
export class ZooKeeperError extends GettyError {
  readonly reason: ZooKeeperReason;

  constructor(reason: ZooKeeperReason, message: string, cause?: unknown) {
    super('REGISTRY_FAILED', message, cause);
    this.name = 'ZooKeeperError';
    this.reason = reason;
  }
}

/** Makes the error of a server's error number. */
export function serverError(number: number, operation: string, path: string): ZooKeeperError {
  const reason: ZooKeeperReason =
    (REASONS as Readonly<Record<number, ZooKeeperReason>>)[number] ?? 'UNKNOWN';
  return new ZooKeeperError(
    reason,
    `ZooKeeper: ${operation} ${path}: ${reason === 'UNKNOWN' ? `error ${number}` : reason}`,
  );
}

/** The reason of a ZooKeeperError. undefined: `error` is another error. */
export function zooKeeperReasonOf(error: unknown): ZooKeeperReason | undefined {
  return error instanceof ZooKeeperError ? error.reason : undefined;
}

const CONNECTION_REASONS: readonly (ZooKeeperReason | undefined)[] = [
  'CONNECTION_LOST',
  'OPERATION_TIMEOUT',
  'SESSION_EXPIRED',
  'SESSION_MOVED',
  'REQUEST_TIMEOUT',
  'THROTTLED',
];

/**
 * Whether the operation failed for lack of a connection or a quorum, so that a retry may succeed.
 * If not, the server refuses the operation.
 */
export function isConnectionError(error: unknown): boolean {
  return CONNECTION_REASONS.includes(zooKeeperReasonOf(error));
}
