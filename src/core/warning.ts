/** Where an error goes that has no listener: it must be seen, and must not end the program. */
import { WarningBudget } from './warning-budget.js';

/** So many warnings are passed on at once, and 10 a second after that. */
const BURST = 1_000;
const budget = new WarningBudget(BURST);

/**
 * As a warning of the process; in a browser as the page's own uncaught errors are told, at its console and to its `error` listeners. A peer may cause
 * a warning with each message, so most of very many are left out.
 */
export function warn(error: Error): void {
  const suppressed = budget.take();
  if (suppressed === undefined) return;
  if (suppressed > 0) emit(new Error(`${suppressed} warnings of getty-ts were left out`));
  emit(error);
}

function emit(error: Error): void {
  const { process, reportError = console.error } = globalThis as { process?: NodeJS.Process; reportError?: (error: unknown) => void };
  if (typeof process?.emitWarning === 'function') process.emitWarning(error);
  else reportError(error);
}
