/** Whether a failed attempt may be retried. */
import type { Call } from '../../rpc/index.js';

/** The fields of an RpcError that decide about another attempt. */
interface FailureFields {
  readonly code?: unknown;
  readonly unsent?: unknown;
  readonly reason?: unknown;
}

/** The fields of a thrown value; none of a value that is not an object. Never throws. */
export function readFailure(error: unknown): FailureFields {
  if (typeof error !== 'object' || error === null) return {};
  try {
    const { code, unsent, reason } = error as FailureFields;
    return { code, unsent, reason };
  } catch {
    return {};
  }
}

/**
 * Whether the caller still waits, and another attempt cannot run the call twice: the call did not
 * run (`unsent`), or its node was lost (UNAVAILABLE) and its method is idempotent.
 */
export function isRetryable(error: unknown, call: Call): boolean {
  if (call.signal?.aborted) return false;
  const { code, unsent } = readFailure(error);
  return unsent === true || (call.method.idempotent && code === 'UNAVAILABLE');
}

/**
 * Whether the node answered that it does not have the service: its registry entry is stale, or
 * another program uses its address.
 */
export function isNotServed(error: unknown): boolean {
  return readFailure(error).reason === 'not-served';
}

/**
 * Whether a retry costs nothing from the retry budget: the node was unreachable before the call was
 * sent, so the call put no load on any node.
 */
export function isFreeRetry(error: unknown): boolean {
  const { code, unsent, reason } = readFailure(error);
  return unsent === true && code === 'UNAVAILABLE' && reason === undefined;
}
