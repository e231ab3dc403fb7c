/** The strategy broadcast(): a call to every node. */
import { callAsync, checkCallback } from '../../core/callbacks.js';
import { checkNames, type NamesOf, withDefaults } from '../../core/options.js';
import { redactUrl } from '../../core/redact.js';
import { withinUnlessAborted } from '../../core/timers.js';
import { cancelledError } from '../../rpc/calls/call-errors.js';
import { timeLeft } from '../../rpc/calls/client-call.js';
import { type Call, RpcError } from '../../rpc/index.js';
import { isStreaming } from '../../rpc/method-kind.js';
import type { NodeAccess, ServiceNode, Strategy } from '../types.js';
import { noStreamsError } from './attempt-errors.js';

/** The outcome of a broadcast call at one node. */
export interface NodeOutcome {
  readonly node: ServiceNode;
  /** The reply. Undefined: the call failed, or its method has no reply. */
  readonly reply: unknown;
  /** Undefined: the call succeeded. */
  readonly error: RpcError | undefined;
}

/** Options of the strategy broadcast(). */
export interface BroadcastStrategyOptions {
  /**
   * The part of the nodes that may fail without a failure of the call: 0 to 1, rounded down to
   * whole nodes. At least one node must succeed. Default: 0.
   */
  maxFailedShare?: number | undefined;
  /** The most nodes that one call waits for at the same time: from 1. Default: 64. */
  concurrency?: number | undefined;
  /**
   * Makes the reply of the call from all outcomes, in the order of the list. It may return a
   * promise, for which the call waits until its deadline: then it fails with DEADLINE_EXCEEDED. An
   * RpcError that it throws is the error of the call, anything else the cause of UNKNOWN. Default:
   * the first reply.
   */
  combine?: ((outcomes: readonly NodeOutcome[], call: Call) => unknown) | undefined;
}

const NAMES = {
  maxFailedShare: true,
  concurrency: true,
  combine: true,
} satisfies NamesOf<BroadcastStrategyOptions>;

/** Defaults of BroadcastStrategyOptions. */
export const BROADCAST_DEFAULTS = {
  maxFailedShare: 0,
  concurrency: 64,
} satisfies BroadcastStrategyOptions;

/** The addresses in the message of a failed call. */
const SHOWN_ADDRESSES = 3;

/**
 * A strategy that calls every node of the list once, and waits for all of them: also nodes that are
 * ejected or not connected, and those outside of `subset`. Nodes with the same address are called
 * once. The balancer is not used, and no node is called again.
 *
 * The call fails if more nodes fail than `maxFailedShare` allows. Its error has the code of the
 * first failed node in the order of the list, and an AggregateError with the errors of all failed
 * nodes as its `cause`. It is `unsent` if no node has run the call. Calls that stream are refused
 * with FAILED_PRECONDITION. Throws BAD_OPTION.
 */
export function broadcast(options: BroadcastStrategyOptions = {}): Strategy {
  checkNames('broadcast()', options, NAMES);
  const settings = withDefaults(BROADCAST_DEFAULTS, options, {
    maxFailedShare: [0, 1],
    concurrency: [1, Number.POSITIVE_INFINITY, 'integer'],
  });
  const { combine = firstReply } = options;
  checkCallback('combine', combine);
  return (_, nodes) => async (call) => {
    if (isStreaming(call.method.kind)) throw noStreamsError(call, 'broadcast()');
    const called = withDistinctAddresses(await nodes.list(call));
    const outcomes = await callAll(nodes, called, call, settings.concurrency);
    const failed = outcomes.filter(({ error }) => error !== undefined);
    const allowed = Math.min(
      Math.floor(outcomes.length * settings.maxFailedShare),
      outcomes.length - 1,
    );
    if (failed.length > allowed) throw failureOf(failed, outcomes.length, call);
    return combine === firstReply ? firstReply(outcomes) : combineInTime(combine, outcomes, call);
  };
}

/** Waits for `combine` until the deadline of the call, or until the caller cancels it. */
async function combineInTime(
  combine: NonNullable<BroadcastStrategyOptions['combine']>,
  outcomes: readonly NodeOutcome[],
  call: Call,
): Promise<unknown> {
  const { service, name } = call.method;
  const lateError = (): RpcError =>
    new RpcError('DEADLINE_EXCEEDED', `combine of ${service}.${name} took longer than its timeout`);
  try {
    return await withinUnlessAborted(
      timeLeft(call),
      callAsync(() => combine(outcomes, call)),
      lateError,
      call.signal,
      () => cancelledError(call, false),
    );
  } catch (error) {
    throw RpcError.from(error);
  }
}

function firstReply(outcomes: readonly NodeOutcome[]): unknown {
  return outcomes.find(({ error }) => error === undefined)?.reply;
}

function withDistinctAddresses(nodes: readonly ServiceNode[]): ServiceNode[] {
  const seen = new Set<string>();
  return nodes.filter(({ address }) => !seen.has(address) && seen.add(address));
}

/** Resolves with the outcome of each node, in the order of `called`. Never rejects. */
async function callAll(
  nodes: NodeAccess,
  called: readonly ServiceNode[],
  call: Call,
  concurrency: number,
): Promise<NodeOutcome[]> {
  const outcomes = new Array<NodeOutcome>(called.length);
  let next = 0;
  const callNext = async (): Promise<void> => {
    while (next < called.length) {
      const index = next++;
      const node = called[index] as ServiceNode;
      outcomes[index] = await nodes.call(node, call).then(
        (reply) => ({ node, reply, error: undefined }),
        (error) => ({ node, reply: undefined, error: RpcError.from(error) }),
      );
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, called.length) }, callNext));
  return outcomes;
}

/** The error of the call. `failed`: at least one outcome. `count`: the number of all outcomes. */
function failureOf(failed: readonly NodeOutcome[], count: number, call: Call): RpcError {
  const errors = failed.map(({ error }) => error as RpcError);
  const unsent = failed.length === count && errors.every((error) => error.unsent);
  if (call.signal?.aborted) return cancelledError(call, unsent);
  const [first] = errors as [RpcError];
  const addresses = failed.slice(0, SHOWN_ADDRESSES).map(({ node }) => redactUrl(node.address));
  const more = failed.length > SHOWN_ADDRESSES ? ', …' : '';
  const { service, name } = call.method;
  return new RpcError(
    first.code,
    `${service}.${name} failed at ${failed.length} of ${count} nodes (${addresses.join(', ')}${more}): ${first.message}`,
    { cause: new AggregateError(errors, `${failed.length} nodes failed`), unsent },
  );
}
