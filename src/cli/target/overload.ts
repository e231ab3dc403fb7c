/** Calls of the services of getty itself to a server that refuses calls because it has too many. */
import { codeOf } from '../../core/errors.js';
import { pause } from '../../core/timers.js';
import { AdvisedError } from '../failure.js';

/** Milliseconds before the only retry. */
const RETRY_DELAY = 200;

const OVERLOADED =
  'the node is overloaded: it refused the call twice within 200 ms; try again, or raise the limit ' +
  'of its concurrencyLimit()';

/**
 * The answer of `ask`, which is called again after 200 ms if it rejects with RESOURCE_EXHAUSTED.
 * Rejects with AdvisedError if it does so again.
 */
export async function whenFree<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!isOverload(error) || !(await pause(RETRY_DELAY, signal))) throw error;
  }
  try {
    return await ask();
  } catch (error) {
    throw isOverload(error) ? new AdvisedError(error, OVERLOADED) : error;
  }
}

const isOverload = (error: unknown): boolean => codeOf(error) === 'RESOURCE_EXHAUSTED';
