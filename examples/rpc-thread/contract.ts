/** What the main thread and its worker call of each other. */
import { contract, oneway, unary } from 'getty-ts/rpc';

/** The service of the worker. */
export const Primes = contract('Primes', {
  /** How many primes are below a number. */
  count: unary<number, number>(),
});

/** The service of the main thread, for its worker. */
export const Progress = contract('Progress', {
  /** How much of the work is done, in percent. */
  report: oneway<number>(),
});
