/**
 * What a failed request means for a registry: whether trying again can help, and how it is told.
 */
import { Code, ConnectError } from '@connectrpc/connect';
import { type GettyError, gettyError, messageOf } from '../../core/errors.js';

/**
 * The server has understood and said no: the same request will be refused again until somebody
 * changes something.
 */
const REFUSALS = [
  Code.PermissionDenied,
  Code.Unauthenticated,
  Code.InvalidArgument,
  Code.FailedPrecondition,
  Code.Unimplemented,
  Code.ResourceExhausted,
];

export function isRefusal(error: unknown): boolean {
  return error instanceof ConnectError && REFUSALS.includes(error.code);
}

/** The answer is larger than what we read. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.ResourceExhausted;
}

/** There was no answer in time. */
export function isLate(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.DeadlineExceeded;
}

/** There is no such lease: it expired, or somebody revoked it. */
export function isLeaseLost(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.NotFound;
}

/**
 * A token that the server does not know (any more), that was made before users and roles were
 * changed, or that is missing since the server checks passwords.
 */
export function isTokenRefused(error: unknown): boolean {
  if (!(error instanceof ConnectError)) return false;
  // etcd has no codes of their own for the second and the third, only its words.
  return (
    error.code === Code.Unauthenticated ||
    (error.code === Code.InvalidArgument && /revision|user name is empty/.test(error.rawMessage))
  );
}

/** The server checks no passwords. */
export function isAuthDisabled(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.FailedPrecondition;
}

/** `name`: the members of the cluster. */
export function registryFailed(name: string, what: string, error: unknown): GettyError {
  return gettyError('REGISTRY_FAILED', `etcd at ${name}: ${what}: ${reasonOf(error)}`, error);
}

export function reasonOf(error: unknown): string {
  if (!(error instanceof ConnectError)) return messageOf(error);
  return error.code === Code.Unimplemented
    ? `${error.rawMessage}; this is no server of etcd v3`
    : error.rawMessage;
}
