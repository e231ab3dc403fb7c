/** When another attempt may follow one that failed. */
import type { Call } from '../../rpc/index.js';

interface Fate {
  readonly code?: unknown;
  readonly unsent?: unknown;
  readonly reason?: unknown;
}

/**
 * An RpcError has these. Any other value that is thrown has none, and is not tried again. Never
 * throws.
 */
export function fateOf(error: unknown): Fate {
  if (typeof error !== 'object' || error === null) return {};
  try {
    const { code, unsent, reason } = error as Fate;
    return { code, unsent, reason };
  } catch {
    return {};
  }
}

/**
 * The call certainly did not run (`unsent`), or its node was lost (UNAVAILABLE) and its method is
 * idempotent; and the caller still waits.
 */
export function isSafe(error: unknown, call: Call): boolean {
  if (call.signal?.aborted) return false;
  const { code, unsent } = fateOf(error);
  return unsent === true || (call.method.idempotent && code === 'UNAVAILABLE');
}

/**
 * The node is listed for the service and does not have it: its entry is stale, or another program
 * has its address.
 */
export function isNotServed(error: unknown): boolean {
  return fateOf(error).reason === 'not-served';
}

/** The call found its node away before it was sent, so it put no load on any node. */
export function isFree(error: unknown): boolean {
  const { code, unsent, reason } = fateOf(error);
  return unsent === true && code === 'UNAVAILABLE' && reason === undefined;
}
