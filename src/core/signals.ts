/**
 * AbortSignals that the package follows. A signal has one listener of ours however many followers
 * it has, so that many calls with one signal neither warn of a leak (MaxListenersExceededWarning)
 * nor leave anything behind.
 */

import { inTurns } from './turn.js';

type Follower = () => void;

class FollowedSignal {
  readonly #signal: AbortSignal;
  readonly #followers = new Set<Follower>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', this, { once: true });
  }

  add(follower: Follower): void {
    this.#followers.add(follower);
  }

  remove(follower: Follower): void {
    if (!this.#followers.delete(follower) || this.#followers.size > 0) return;
    this.#signal.removeEventListener('abort', this);
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
 * Calls `follower` once when `signal` aborts. Followers that would take too long in this turn of
 * the event loop are called in later turns. Returns a function that ends this; call it when the
 * signal does not matter any more. A signal that has aborted already calls nothing. `follower` must
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

/**
 * A signal that aborts with any of `signals`, with its reason. `release` ends that and leaves
 * nothing behind.
 */
export interface LinkedSignal {
  readonly signal: AbortSignal;
  readonly release: () => void;
}

/** As AbortSignal.any(), which holds an entry in long-lived signals until they abort. */
export function linkSignals(...signals: readonly AbortSignal[]): LinkedSignal {
  const controller = new AbortController();
  const releases = signals.map((signal) => followSignal(signal, () => abort(signal)));
  const release = (): void => {
    for (const end of releases) end();
  };
  const abort = (signal: AbortSignal): void => {
    release();
    controller.abort(signal.reason);
  };
  const aborted = signals.find((signal) => signal.aborted);
  if (aborted !== undefined) abort(aborted);
  return { signal: controller.signal, release };
}

/**
 * Settles as `promise` does, or rejects with the signal's reason as soon as the signal is aborted.
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    promise.then(resolve, reject).finally(followSignal(signal, abort));
    if (signal.aborted) abort();
  });
}
