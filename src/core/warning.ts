/** Where an error goes that has no listener: it must be seen, and must not end the program. */

/** As a warning of the process; in a browser as the page's own uncaught errors are told, at its console and to its `error` listeners. */
export function warn(error: Error): void {
  const { process, reportError = console.error } = globalThis as { process?: NodeJS.Process; reportError?: (error: unknown) => void };
  if (typeof process?.emitWarning === 'function') process.emitWarning(error);
  else reportError(error);
}
