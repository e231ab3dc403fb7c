/** adaptiveLimit(): a concurrency limit that follows the latency of the calls. */
import { checkCallback, notifyOrWarn, resultOf } from '../../../core/callbacks.js';
import { badOption, checkNames, type NamesOf, withDefaults } from '../../../core/options.js';
import { LONGEST_TIMER } from '../../../core/timers.js';
import { isStreaming } from '../../method-kind.js';
import { invokeSafely } from '../../streams/call-end.js';
import type { Call, Interceptor, Invoke } from '../../types.js';
import { besidesOperatorCalls, CallQueue } from './call-queue.js';
import { LatencyGradient } from './latency-gradient.js';
import { MAX_PRIORITY } from './waiting-calls.js';

/** Options of adaptiveLimit(). */
export interface AdaptiveLimitOptions {
  /** The limit at the start: the most calls in flight at once. Default: 20. */
  initialLimit?: number | undefined;
  /** The lowest limit, except in probes. Default: 1. */
  minLimit?: number | undefined;
  /** The highest limit. Default: 1,000. */
  maxLimit?: number | undefined;
  /**
   * How many times as long as without a queue calls may take before the limit falls: from 1 to 10.
   * Default: 1.5.
   */
  tolerance?: number | undefined;
  /** The most calls that wait. Default: 64. */
  queue?: number | undefined;
  /** How long a call may wait, in milliseconds. Default: 100. */
  queueTimeout?: number | undefined;
  /**
   * The priority of a call, an integer from 0 to 9; other numbers count as the nearest one. Called
   * for calls that cannot start at once. If it fails, the priority is 5, and a warning of the
   * process has the reason. Default: the metadata `priority`, a digit; 5 for anything else. Callers
   * set metadata: for callers that you do not trust, use `call.identity`.
   */
  priority?: ((call: Call) => number) | undefined;
  /**
   * Called with the new limit after each change, and at the start and the end of a probe. An error
   * that it throws becomes a warning of the process. Default: none.
   */
  onLimit?: ((limit: number) => unknown) | undefined;
}

const OPTION_NAMES = {
  initialLimit: true,
  minLimit: true,
  maxLimit: true,
  tolerance: true,
  queue: true,
  queueTimeout: true,
  priority: true,
  onLimit: true,
} satisfies NamesOf<AdaptiveLimitOptions>;

/** The default values of adaptiveLimit(). Times are in milliseconds. */
export const ADAPTIVE_LIMIT_DEFAULTS = {
  initialLimit: 20,
  minLimit: 1,
  maxLimit: 1_000,
  tolerance: 1.5,
  queue: 64,
  queueTimeout: 100,
} satisfies AdaptiveLimitOptions;

const DEFAULT_PRIORITY = 5;
const MAX_LIMIT = 2 ** 31;

/**
 * Makes an interceptor for servers that finds out how many calls can be in flight before they wait
 * for each other. It compares the latency of each method with its latency without a queue: the
 * limit falls while calls take longer than `tolerance` times as long, and grows otherwise. While
 * the limit is in use, a probe of some 0.2 s with a quarter of the limit measures that latency
 * again, every 30 s, and more often in the first minute.
 *
 * Calls beyond the limit wait. Those with the highest priority go first, in the order of their
 * arrival. If `queue` calls wait, the one with the lowest priority is refused; of several, the
 * newest. A call waits no longer than `queueTimeout`, its own timeout and its signal allow. Refused
 * calls have RESOURCE_EXHAUSTED and `unsent`. Throws BAD_OPTION.
 *
 * Calls that stream pass: their duration says nothing about the load. Calls of the introspection
 * and admin services do not count: 4 of them may be in flight besides.
 */
export function adaptiveLimit(options: AdaptiveLimitOptions = {}): Interceptor {
  checkNames('adaptiveLimit()', options, OPTION_NAMES);
  const settings = withDefaults(ADAPTIVE_LIMIT_DEFAULTS, options, {
    initialLimit: [1, MAX_LIMIT, 'integer'],
    minLimit: [1, MAX_LIMIT, 'integer'],
    maxLimit: [1, MAX_LIMIT, 'integer'],
    tolerance: [1, 10],
    queue: [0, 2 ** 24, 'integer'],
    queueTimeout: [1, LONGEST_TIMER],
  });
  const { minLimit, maxLimit } = settings;
  if (minLimit > maxLimit) throw badOption('minLimit', minLimit, `at most maxLimit, ${maxLimit}`);
  const { priority, onLimit } = options;
  checkCallback('priority', priority);
  checkCallback('onLimit', onLimit);
  const priorityOf = priority === undefined ? sentPriority : boundedPriority(priority);
  const { queue, queueTimeout } = settings;
  return (next) => {
    const gradient = new LatencyGradient(settings, (limit) => {
      if (onLimit !== undefined) notifyOrWarn('onLimit', () => onLimit(limit));
    });
    const queueSettings = {
      queue,
      queueTimeout,
      get limit() {
        return gradient.limit;
      },
    };
    const calls = new CallQueue(measured, queueSettings, priorityOf);
    const limited = besidesOperatorCalls(next, calls, queueSettings);
    return (call) => (isStreaming(call.method.kind) ? next(call) : limited(call));

    function measured(call: Call): ReturnType<Invoke> {
      const startTime = performance.now();
      const answer = invokeSafely(next, call);
      const onEnd = (hasFailed: boolean): void =>
        gradient.onCallEnd(call.method, performance.now() - startTime, calls.active, hasFailed);
      answer.then(
        () => onEnd(false),
        () => onEnd(true),
      );
      return answer;
    }
  };
}

/** The priority in the metadata of a call. */
function sentPriority({ metadata }: Call): number {
  const text = metadata.priority;
  return text !== undefined && /^\d$/.test(text) ? Number(text) : DEFAULT_PRIORITY;
}

function boundedPriority(priority: (call: Call) => number): (call: Call) => number {
  return (call) => {
    const number = resultOf('priority', () => priority(call), DEFAULT_PRIORITY);
    return Number.isNaN(number)
      ? DEFAULT_PRIORITY
      : Math.min(MAX_PRIORITY, Math.max(0, Math.round(number)));
  };
}
