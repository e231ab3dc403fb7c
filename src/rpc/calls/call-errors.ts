/** The errors of calls that the caller cancels, or that cannot be sent. */
import { codeOf, messageOf } from '../../core/errors.js';
import { followSignal } from '../../core/signals.js';
import { RpcError, rpcErrorOf } from '../errors.js';
import type { Call } from '../types.js';

/** The error of a call whose signal has aborted. `unsent`: no byte of the call was sent. */
export function cancelledError({ method, signal }: Call, unsent: boolean): RpcError {
  return new RpcError('CANCELLED', `the caller cancelled ${method.service}.${method.name}`, {
    cause: signal?.reason,
    unsent,
  });
}

/**
 * Settles as `promise` does. Rejects with CANCELLED when the signal of the call aborts first. The
 * error is `unsent`, so use it before the call is sent.
 */
export async function unlessCancelled<T>(call: Call, promise: Promise<T>): Promise<T> {
  const { signal } = call;
  if (signal === undefined) return promise;
  let abort!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(cancelledError(call, true));
  });
  const release = followSignal(signal, abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([aborted, promise]);
  } finally {
    release();
  }
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

/**
 * The error for a failed write. `what` names the call, or the message of its stream. The code is
 * INVALID_ARGUMENT when the codec cannot encode the message. `unsent`: no byte of the call was sent
 * before.
 */
export function writeErrorOf(error: unknown, what: string, unsent: boolean): RpcError {
  const known = rpcErrorOf(error);
  if (known !== undefined) return known;
  const code = codeOf(error);
  const detail = { cause: error, unsent };
  const message = `${what} was not sent: ${messageOf(error)}`;
  if (code === 'SESSION_CLOSED') return new RpcError('UNAVAILABLE', message, detail);
  if (code === 'SESSION_BLOCKED' || code === 'MESSAGE_TOO_LARGE')
    return new RpcError('RESOURCE_EXHAUSTED', message, detail);
  return new RpcError('INVALID_ARGUMENT', message, detail);
}
