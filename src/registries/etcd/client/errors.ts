/** What the error of a request means for a registry: whether a retry can help, and its message. */
import { Code, ConnectError } from '@connectrpc/connect';
import { type GettyError, gettyError, messageOf } from '../../../core/errors.js';

/** The server refuses the same request again until its configuration or data change. */
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

/**
 * The answer is larger than readMaxBytes. connect reports that with a code that servers use too, so
 * isRefusal() is also true.
 */
export function isTooLarge(error: unknown): boolean {
  return hasCode(error, Code.ResourceExhausted);
}

/** The answer did not arrive in time. */
export function isTimeout(error: unknown): boolean {
  return hasCode(error, Code.DeadlineExceeded);
}

/** The lease does not exist: it has expired or was revoked. */
export function isLeaseLost(error: unknown): boolean {
  return hasCode(error, Code.NotFound);
}

/**
 * The server does not know the token, or users and roles have changed since the token was made, or
 * the request has no token because authentication was enabled after the client connected.
 */
export function isTokenRefused(error: unknown): boolean {
  if (!(error instanceof ConnectError)) return false;
  // etcd has no separate codes for the second and the third case, only messages.
  return (
    error.code === Code.Unauthenticated ||
    (error.code === Code.InvalidArgument && /revision|user name is empty/.test(error.rawMessage))
  );
}

/** The server has authentication disabled. */
export function isAuthDisabled(error: unknown): boolean {
  return hasCode(error, Code.FailedPrecondition);
}

function hasCode(error: unknown, code: Code): boolean {
  return error instanceof ConnectError && error.code === code;
}

/** `cluster`: its members, for the message. */
export function registryFailed(cluster: string, what: string, error: unknown): GettyError {
  return gettyError(
    'REGISTRY_FAILED',
    `etcd at ${cluster}: ${what}: ${describeError(error)}`,
    error,
  );
}

/** The message of `error`, for messages and logs. */
export function describeError(error: unknown): string {
  if (!(error instanceof ConnectError)) return messageOf(error);
  return error.code === Code.Unimplemented
    ? `${error.rawMessage}; this server does not support etcd v3`
    : error.rawMessage;
}
