/** Attempts of one call that run at the same time: one that is not needed any more is cancelled. */
import { callAsync } from '../../core/callbacks.js';
import { linkSignals } from '../../core/signals.js';
import type { Call } from '../../rpc/index.js';
import type { Attempt, ServiceNode } from '../types.js';

/** Makes an attempt that is cancelled when `cancel` aborts, or the signal of the call. */
export function attemptUntil(
  attempt: Attempt,
  call: Call,
  tried: Set<ServiceNode>,
  cancel: AbortSignal,
): Promise<unknown> {
  const { signal } = call;
  // A strategy of a program may wrap the attempts, and throw.
  if (signal === undefined) return callAsync(() => attempt(call.with({ signal: cancel }), tried));
  const linked = linkSignals(signal, cancel);
  const answer = callAsync(() => attempt(call.with({ signal: linked.signal }), tried));
  answer.then(linked.release, linked.release);
  return answer;
}
