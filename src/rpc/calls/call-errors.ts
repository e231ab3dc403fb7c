/** The errors of calls that the caller cancels, or that cannot be sent. */
import { codeOf, messageOf } from '../../core/errors.js';
import { reasonOf } from '../../core/signals.js';
import { withinUnlessAborted } from '../../core/timers.js';
import { RpcError, rpcErrorOf } from '../errors.js';
import type { Call } from '../types.js';

/** The error of a call whose signal has aborted. `unsent`: no byte of the call was sent. */
export function cancelledError({ method, signal }: Call, unsent: boolean): RpcError {
  return new RpcError('CANCELLED', `the caller cancelled ${method.service}.${method.name}`, {
    cause: reasonOf(signal),
    unsent,
  });
}

/**
 * Waits for `promise` before the call is sent. Rejects with CANCELLED when the signal of the call
 * aborts first. After `ms` milliseconds it rejects with the error that `late` returns, or, without
 * `late`, resolves with undefined. Then `promise` holds nothing of the call.
 */
export function waitToSend<T>(
  call: Call,
  ms: number,
  promise: Promise<T>,
  late: (() => Error) | undefined,
): Promise<T> {
  return withinUnlessAborted(ms, promise, late, call.signal, () => cancelledError(call, true));
}

/**
 * The error of a call whose deadline has passed before the call was sent. `cause`: what the call
 * waited for; its message is part of the message.
 */
export function unsentTimeoutError({ method }: Call, cause?: unknown): RpcError {
  const why = cause === undefined ? '' : `: ${messageOf(cause)}`;
  return new RpcError(
    'DEADLINE_EXCEEDED',
    `${method.service}.${method.name} was not sent within its timeout${why}`,
    { cause, unsent: true },
  );
}

/** Whether a write failed because of the size of the message. */
export function isSizeError(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'MESSAGE_TOO_LARGE' || code === 'PEER_NOT_TRUSTED';
}

/**
 * The error for a failed write. `what` names the call, or the message of its stream. `unsent`: no
 * byte of the call was sent before.
 */
export function writeErrorOf(error: unknown, what: string, unsent: boolean): RpcError {
  const known = rpcErrorOf(error);
  if (known !== undefined) return known;
  const code = codeOf(error);
  const detail = { cause: error, unsent };
  const message = `${what} was not sent: ${messageOf(error)}`;
  if (code === 'SESSION_CLOSED') return new RpcError('UNAVAILABLE', message, detail);
  if (code === 'SESSION_BLOCKED' || isSizeError(error))
    return new RpcError('RESOURCE_EXHAUSTED', message, detail);
  // The codec cannot encode the message.
  return new RpcError('INVALID_ARGUMENT', message, detail);
}
