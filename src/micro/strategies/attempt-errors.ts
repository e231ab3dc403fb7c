/** The errors of calls that have several attempts. */
import { unsentTimeoutError } from '../../rpc/calls/call-errors.js';
import { copyError } from '../../rpc/errors.js';
import { type Call, RpcError } from '../../rpc/index.js';
import { readFailure } from './retry-safety.js';

/**
 * The error of a call whose last attempt failed with `error`. `mayHaveRun`: another attempt may
 * have run, so the call is not `unsent`.
 */
export function lastAttemptError(error: unknown, mayHaveRun: boolean): unknown {
  if (!mayHaveRun || readFailure(error).unsent !== true) return error;
  return copyError(RpcError.from(error), { cause: error, unsent: false });
}

/** The error of a call whose deadline passed after an attempt had failed with `error`. */
export function deadlineError(call: Call, error: unknown, mayHaveRun: boolean): RpcError {
  if (!mayHaveRun) return unsentTimeoutError(call, error);
  const { service, name } = call.method;
  const message = `${service}.${name} was not answered within its timeout`;
  return new RpcError('DEADLINE_EXCEEDED', message, { cause: error });
}

/** The error of a call that streams, which `strategy` does not make. */
export function noStreamsError({ method }: Call, strategy: string): RpcError {
  return new RpcError(
    'FAILED_PRECONDITION',
    `${method.service}.${method.name} streams, and ${strategy} makes no calls that stream`,
    { unsent: true },
  );
}
