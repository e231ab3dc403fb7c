/** The concurrency limit: bounds the calls in flight, and queues a bounded number of others. */
import { checkNames, type NamesOf, withDefaults } from '../../../core/options.js';
import { LONGEST_TIMER } from '../../../core/timers.js';
import type { Interceptor } from '../../types.js';
import { besidesOperatorCalls, CallQueue } from './call-queue.js';

/** Options of concurrencyLimit(). */
export interface ConcurrencyLimitOptions {
  /**
   * The most calls in flight at once. A call whose reply is a stream is in flight until the stream
   * ends. Default: 256.
   */
  limit?: number | undefined;
  /** The most calls that wait. The call that has waited longest goes first. Default: 1,024. */
  queue?: number | undefined;
  /** How long a call may wait, in milliseconds. Default: 1,000. */
  queueTimeout?: number | undefined;
}

const OPTION_NAMES = {
  limit: true,
  queue: true,
  queueTimeout: true,
} satisfies NamesOf<ConcurrencyLimitOptions>;

/** The default values of concurrencyLimit(). Times are in milliseconds. */
export const CONCURRENCY_LIMIT_DEFAULTS = {
  limit: 256,
  queue: 1_024,
  queueTimeout: 1_000,
} satisfies ConcurrencyLimitOptions;

/**
 * Makes an interceptor that lets `limit` calls be in flight and `queue` calls wait, in order. A
 * call waits no longer than `queueTimeout`, its own timeout and its signal allow. Other calls are
 * refused with RESOURCE_EXHAUSTED and `unsent`. Throws BAD_OPTION.
 *
 * Calls of the introspection and admin services do not count: 4 of them may be in flight besides,
 * so that an overloaded server can be inspected and drained.
 */
export function concurrencyLimit(options: ConcurrencyLimitOptions = {}): Interceptor {
  checkNames('concurrencyLimit()', options, OPTION_NAMES);
  const settings = withDefaults(CONCURRENCY_LIMIT_DEFAULTS, options, {
    limit: [1, 2 ** 31, 'integer'],
    queue: [0, 2 ** 24, 'integer'],
    queueTimeout: [1, LONGEST_TIMER],
  });
  return (next) => besidesOperatorCalls(next, new CallQueue(next, settings), settings);
}
