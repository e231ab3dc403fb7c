/**
 * Settles what a user's function returns or throws. Every callback of a user is called through this file, so that neither a rejected promise, a thenable,
 * a promise of another realm nor a value that throws when it is looked at (a revoked Proxy) ends the process.
 */

/**
 * The promise of an asynchronous outcome, or undefined when the outcome is a plain value. A thenable and a promise of another realm
 * count as promises. The result rejects when the outcome cannot be looked at.
 */
export function promiseOf(outcome: unknown): Promise<unknown> | undefined {
  if (outcome === undefined || outcome === null) return undefined;
  if (typeof outcome !== 'object' && typeof outcome !== 'function') return undefined;
  try {
    if (typeof (outcome as { then?: unknown }).then !== 'function') return undefined;
    return Promise.resolve(outcome);
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Calls `callback` and ignores what it answers. `failed` is called once if it throws, or if the promise that it returns rejects.
 * `failed` must not throw.
 */
export function notify(callback: () => unknown, failed: (error: unknown) => void): void {
  try {
    promiseOf(callback())?.catch(failed);
  } catch (error) {
    failed(error);
  }
}
