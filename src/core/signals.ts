/**
 * Follows AbortSignals with one event listener per signal. So many calls with one signal do not
 * cause a MaxListenersExceededWarning, and leave no listener behind.
 */

import { badOption } from './options.js';
import { inTurns } from './turn.js';

/** Throws BAD_OPTION unless `signal` is an AbortSignal or undefined. */
export function checkSignal(signal: unknown): asserts signal is AbortSignal | undefined {
  if (signal === undefined) return;
  if (!isSignal(signal)) throw badOption('signal', signal, 'an AbortSignal');
}

/** False also for a value that throws, such as a revoked Proxy. */
function isSignal(value: unknown): boolean {
  try {
    // Not `instanceof`: the signal may be of another realm.
    const signal = (value ?? {}) as Partial<AbortSignal>;
    return (
      typeof signal.aborted === 'boolean' &&
      typeof signal.addEventListener === 'function' &&
      typeof signal.removeEventListener === 'function'
    );
  } catch {
    return false;
  }
}

/** `signal.reason`, or what its getter throws. Never throws. */
export function reasonOf(signal: AbortSignal | undefined): unknown {
  try {
    return signal?.reason;
  } catch (error) {
    return error;
  }
}

/**
 * Calls `listener` when `signal` aborts. A signal whose methods throw is not followed. Returns the
 * function that ends this. Never throws.
 */
export function onAbort(
  signal: AbortSignal,
  listener: (() => void) | { handleEvent(): void },
): () => void {
  try {
    signal.addEventListener('abort', listener, { once: true });
  } catch {
    // The signal is of the program.
  }
  return () => {
    try {
      signal.removeEventListener('abort', listener);
    } catch {
      // As above. A follower that is removed is not called.
    }
  };
}

type Follower = () => void;

class FollowedSignal {
  readonly #signal: AbortSignal;
  readonly #followers = new Set<Follower>();
  readonly #stop: () => void;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    this.#stop = onAbort(signal, this);
  }

  add(follower: Follower): void {
    this.#followers.add(follower);
  }

  remove(follower: Follower): void {
    if (!this.#followers.delete(follower) || this.#followers.size > 0) return;
    this.#stop();
    followed.delete(this.#signal);
  }

  /** The event listener of the signal. */
  handleEvent(): void {
    followed.delete(this.#signal);
    // A follower that is removed before its turn is not called.
    inTurns([...this.#followers], (follower) => {
      if (this.#followers.delete(follower)) follower();
    });
  }
}

const followed = new WeakMap<AbortSignal, FollowedSignal>();
const nothing = (): void => {};

/**
 * Calls `follower` once when `signal` aborts. If there are many followers, some are called in later
 * turns of the event loop. Returns a function that removes the follower; call it when the signal is
 * no longer needed. If the signal has already aborted, `follower` is not called. `follower` must
 * not throw, and each call needs a function of its own.
 */
export function followSignal(signal: AbortSignal | undefined, follower: Follower): () => void {
  if (signal === undefined || signal.aborted) return nothing;
  let entry = followed.get(signal);
  if (entry === undefined) {
    entry = new FollowedSignal(signal);
    followed.set(signal, entry);
  }
  entry.add(follower);
  const added = entry;
  return () => added.remove(follower);
}

/** A signal that follows others. `release` removes it from them. */
export interface LinkedSignal {
  readonly signal: AbortSignal;
  readonly release: () => void;
}

/**
 * A signal that aborts with the first of `signals`, and with its reason. AbortSignal.any() would
 * leave an entry in long-lived signals until they abort.
 */
export function linkSignals(...signals: readonly AbortSignal[]): LinkedSignal {
  const controller = new AbortController();
  const releases = signals.map((signal) => followSignal(signal, () => abort(signal)));
  const release = (): void => {
    for (const end of releases) end();
  };
  const abort = (signal: AbortSignal): void => {
    release();
    controller.abort(reasonOf(signal));
  };
  const aborted = signals.find((signal) => signal.aborted);
  if (aborted !== undefined) abort(aborted);
  return { signal: controller.signal, release };
}

/** Settles as `promise` does; rejects with the reason of `signal` when it aborts first. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(reasonOf(signal));
    promise.then(resolve, reject).finally(followSignal(signal, abort));
    if (signal.aborted) abort();
  });
}
