/** When another attempt may follow one that failed. */
import type { Call } from '../rpc/index.js';

/** An RpcError has these two; anything else that is thrown has not, and is not tried again. */
function read(error: unknown): { readonly code?: unknown; readonly unsent?: unknown } {
  return typeof error === 'object' && error !== null ? error : {};
}

/** The error's code, or undefined when it has none. */
export function codeOf(error: unknown): unknown {
  return read(error).code;
}

/** The call certainly did not run (`unsent`), or its node was lost (UNAVAILABLE) and its method is idempotent; and the caller still waits. */
export function isSafe(error: unknown, call: Call): boolean {
  if (call.signal?.aborted) return false;
  const { code, unsent } = read(error);
  return unsent === true || (call.method.idempotent && code === 'UNAVAILABLE');
}

/** It found its node away before it was sent, and puts no load on anybody. */
export function isFree(error: unknown): boolean {
  const { code, unsent } = read(error);
  return unsent === true && code === 'UNAVAILABLE';
}
