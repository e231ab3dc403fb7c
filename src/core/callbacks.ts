/**
 * Calls functions of users, and handles their results. Code that calls such a function itself does
 * so in a `try` block, and passes a result that may be a promise to promiseOf(). So none of the
 * following ends the process: an exception, a rejected promise, a thenable, a promise of another
 * realm, or a value that throws when it is read (a revoked Proxy).
 */
import { type ErrorCode, gettyError, messageOf } from './errors.js';
import { badOption } from './options.js';
import { warn } from './warning.js';

/**
 * The promise of an asynchronous outcome, or undefined when the outcome is a plain value. A
 * thenable and a promise of another realm count as promises. Of a promise with methods of its own
 * these methods are not used, as `await` does not use them. The result rejects if reading the
 * outcome throws.
 */
export function promiseOf(outcome: unknown): Promise<unknown> | undefined {
  if (outcome === undefined || outcome === null) return undefined;
  if (typeof outcome !== 'object' && typeof outcome !== 'function') return undefined;
  try {
    if (outcome instanceof Promise) return usesOwnMethods(outcome) ? adopt(outcome) : outcome;
    if (typeof (outcome as { then?: unknown }).then !== 'function') return undefined;
    return Promise.resolve(outcome);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** The `constructor` counts too: then() makes its promise with it. */
const usesOwnMethods = (promise: Promise<unknown>): boolean =>
  promise.then !== Promise.prototype.then ||
  promise.catch !== Promise.prototype.catch ||
  promise.constructor !== Promise;

function adopt(promise: Promise<unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    Promise.prototype.then.call(promise, resolve, reject);
  });
}

/**
 * Calls `callback` and ignores its result. `failed` is called once if it throws, or if the
 * promise that it returns rejects. `failed` must not throw.
 */
export function notify(callback: () => unknown, failed: (error: unknown) => void): void {
  try {
    promiseOf(callback())?.catch(failed);
  } catch (error) {
    failed(error);
  }
}

/** As notify(). A failure of the callback `name` is a HANDLER_FAILED warning of the process. */
export function notifyOrWarn(name: string, callback: () => unknown): void {
  notify(callback, (error) =>
    warn(gettyError('HANDLER_FAILED', `${name} failed: ${messageOf(error)}`, error)),
  );
}

/** Calls `callback`. The promise settles as its result does, and rejects if it throws. */
export function callAsync<T>(callback: () => T | PromiseLike<T>): Promise<T> {
  try {
    const outcome = callback();
    return (promiseOf(outcome) as Promise<T> | undefined) ?? Promise.resolve(outcome);
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Marks the promises among `items` as handled, for a caller that awaits the items one after the
 * other. A later item that rejects meanwhile has no other handler, and would end the process.
 * Thenables are left out, because a call of then() may begin their work.
 */
export function markHandled(items: readonly unknown[]): void {
  for (const item of items) {
    if (typeof item !== 'object' || item === null) continue;
    try {
      // Promise.prototype.then throws TypeError for a thenable, and accepts promises of all realms.
      if (typeof (item as { then?: unknown }).then === 'function')
        Promise.prototype.then.call(item, undefined, () => {});
    } catch {
      // The code that awaits the item reports the error.
    }
  }
}

/**
 * Throws an error with `code` if `outcome`, the result of the synchronous callback `name`, is a
 * promise. A rejection of the promise is ignored.
 */
export function refusePromise(code: ErrorCode, name: string, outcome: unknown): void {
  const promise = promiseOf(outcome);
  if (promise === undefined) return;
  promise.catch(() => {});
  throw gettyError(code, `${name} must be synchronous: it returned a promise`);
}

/**
 * The result of `callback` if it has the type of `fallback`. If `callback` fails or returns
 * something else, the result is `fallback`, and a HANDLER_FAILED warning of the process says why.
 */
export function resultOf<T extends boolean | number | string>(
  name: string,
  callback: () => unknown,
  fallback: T,
): T {
  let result: T = fallback;
  notifyOrWarn(name, () => {
    const outcome = callback();
    if (typeof outcome === typeof fallback) result = outcome as T;
    else {
      refusePromise('BAD_OPTION', name, outcome);
      throw badOption(`the result of ${name}`, outcome, `a ${typeof fallback}`);
    }
  });
  return result;
}

/** Throws BAD_OPTION unless `callback` is a function or undefined. */
export function checkCallback(name: string, callback: unknown): void {
  if (callback !== undefined && typeof callback !== 'function')
    throw badOption(name, callback, 'a function');
}
