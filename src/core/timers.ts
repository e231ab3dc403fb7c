/** Waiting no longer than a limit, without a timer left behind. */

/** Settles with `promise`, or after `ms` milliseconds, whichever is first. Rejects as `promise` does. */
export async function atMost(ms: number, promise: Promise<unknown>): Promise<void> {
  await within(ms, promise, undefined);
}

/** Settles as `promise` does; after `ms` milliseconds it rejects with what `late` makes, or resolves with undefined when there is no `late`. */
export async function within<T>(ms: number, promise: Promise<T>, late: (() => Error) | undefined): Promise<T> {
  if (ms > 2 ** 31 - 1) return promise;
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise<T>((resolve, reject) => {
    timer = setTimeout(() => (late === undefined ? resolve(undefined as T) : reject(late())), ms);
  });
  try {
    return await Promise.race([promise, enough]);
  } finally {
    clearTimeout(timer);
  }
}
