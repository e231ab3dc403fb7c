/** Whether a failed attempt may be retried. */
import { codeOf } from '../../core/errors.js';
import type { Call, RpcCode } from '../../rpc/index.js';

/**
 * Codes after which another node may answer a call that did not run. After another code, such as
 * INVALID_ARGUMENT for an input that cannot be encoded, every attempt fails in the same way.
 */
const NODE_CODES: ReadonlySet<unknown> = new Set<RpcCode>([
  'UNAVAILABLE',
  'RESOURCE_EXHAUSTED',
  // The node has an older version of the service.
  'UNIMPLEMENTED',
  // The node does not support streams.
  'FAILED_PRECONDITION',
]);

/** The fields of an RpcError that decide about another attempt. */
interface FailureFields {
  readonly code?: unknown;
  readonly unsent?: unknown;
  readonly reason?: unknown;
  readonly cause?: unknown;
}

/** The fields of a thrown value; none of a value that is not an object. Never throws. */
export function readFailure(error: unknown): FailureFields {
  if (typeof error !== 'object' || error === null) return {};
  try {
    const { code, unsent, reason, cause } = error as FailureFields;
    return { code, unsent, reason, cause };
  } catch {
    return {};
  }
}

/**
 * Whether the caller still waits, another node may answer differently, and another attempt cannot
 * harm: the call did not run (`unsent`), or its method is idempotent and the call failed with
 * UNAVAILABLE: its node was lost, or its handler threw the code.
 */
export function isRetryable(error: unknown, call: Call): boolean {
  if (call.signal?.aborted) return false;
  const { code, unsent, cause } = readFailure(error);
  if (unsent !== true) return call.method.idempotent && code === 'UNAVAILABLE';
  return NODE_CODES.has(code) && codeOf(cause) !== 'MESSAGE_TOO_LARGE';
}

/**
 * Whether the node answered that it does not have the service: its registry entry is stale, or
 * another program uses its address.
 */
export function isNotServed(error: unknown): boolean {
  return readFailure(error).reason === 'not-served';
}

/**
 * Whether no byte of the call was sent. Such an error says nothing about the node. A node that
 * refuses a call gives a reason.
 */
export function isNeverSent(error: unknown): boolean {
  const { unsent, reason } = readFailure(error);
  return unsent === true && reason === undefined;
}

/**
 * Whether a retry costs nothing from the retry budget: the node was unreachable before the call was
 * sent, so the call put no load on any node.
 */
export function isFreeRetry(error: unknown): boolean {
  return isNeverSent(error) && readFailure(error).code === 'UNAVAILABLE';
}
