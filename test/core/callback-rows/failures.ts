/** The ways in which a callback of a user can fail. */
import { runInNewContext } from 'node:vm';

/** A value that throws when any property of it is read. */
export function revokedProxy(): never {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy as never;
}

/** An error without a message, which Node.js shows as the messages of its errors. */
function selfContainingError(): AggregateError {
  const error = new AggregateError([], '');
  error.errors = [error, error];
  return error;
}

/** A callback that fails. It has the type of every callback. */
export type FailingCallback = (...args: unknown[]) => never;

export const FAILURES: Readonly<Record<string, FailingCallback>> = {
  throws: () => {
    throw new Error('no');
  },
  rejects: () => Promise.reject(new Error('no')) as never,
  'returns a thenable that rejects': () =>
    // biome-ignore lint/suspicious/noThenProperty: the test needs a thenable.
    ({ then: (_: unknown, reject: (error: Error) => void) => reject(new Error('no')) }) as never,
  'returns a thenable that resolves with a promise that rejects': () =>
    ({
      // biome-ignore lint/suspicious/noThenProperty: the test needs a thenable.
      then: (resolve: (value: unknown) => void) => resolve(Promise.reject(new Error('no'))),
    }) as never,
  'returns a rejected promise of another realm': () =>
    runInNewContext('Promise.reject(new Error("no"))') as never,
  'returns a rejected promise with its own then': () =>
    // biome-ignore lint/suspicious/noThenProperty: the test needs it.
    Object.assign(Promise.reject(new Error('no')), { then: undefined }) as never,
  'returns a rejected promise with its own catch': () =>
    Object.assign(Promise.reject(new Error('no')), { catch: undefined }) as never,
  'throws an error that contains itself': () => {
    throw selfContainingError();
  },
  'throws a revoked proxy': () => {
    throw revokedProxy();
  },
  'rejects with a revoked proxy': () => Promise.reject(revokedProxy()) as never,
  'returns a revoked proxy': () => revokedProxy(),
};

/** A callback that fails at its first call. Later calls are calls of `then`. */
export function once(
  fail: FailingCallback,
  then: (...args: never[]) => unknown = () => undefined,
): FailingCallback {
  let hasFailed = false;
  return ((...args: never[]) => {
    if (hasFailed) return then(...args);
    hasFailed = true;
    return fail();
  }) as FailingCallback;
}
