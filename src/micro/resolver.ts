/** Follows one query on a registry, and keeps the last good list while the registry is away. */
import { notify, refusePromise } from '../core/callbacks.js';
import { gettyError, messageOf } from '../core/errors.js';
import { guardedLogger, type Logger } from '../core/logger.js';
import { checkNames, type NamesOf, withDefaults } from '../core/options.js';
import { followSignal } from '../core/signals.js';
import { LONGEST_TIMER, LongTimer, pause } from '../core/timers.js';
import { inTurns } from '../core/turn.js';
import { compareSnapshots, type SnapshotChange } from './snapshots.js';
import type { Registry, ServiceNode, ServiceQuery } from './types.js';

export interface ResolverOptions {
  /**
   * Milliseconds before a failed watch is begun again; doubles up to maxDelay, each time random
   * between half of it and the whole.
   */
  initialDelay?: number | undefined;
  /** Milliseconds. */
  maxDelay?: number | undefined;
  /** Told when the registry is away and when it is back. Silent by default. */
  logger?: Logger | undefined;
}

const NAMES = {
  initialDelay: true,
  maxDelay: true,
  logger: true,
} satisfies NamesOf<ResolverOptions>;
const READY_NAMES = { timeout: true, signal: true } satisfies NamesOf<
  NonNullable<Parameters<Resolver['ready']>[0]>
>;

/** Milliseconds. */
export const RESOLVER_DEFAULTS = { initialDelay: 100, maxDelay: 5_000 } satisfies ResolverOptions;

/**
 * Told of each change, after nodes() has the new list. The first list is a change from none. A
 * failure is logged.
 */
export type ChangeListener = (change: SnapshotChange, nodes: readonly ServiceNode[]) => unknown;

interface Waiter {
  resolve(nodes: readonly ServiceNode[]): void;
  reject(error: Error): void;
}

export class Resolver implements AsyncDisposable {
  readonly query: ServiceQuery;
  readonly #registry: Registry;
  readonly #delays: typeof RESOLVER_DEFAULTS;
  readonly #logger: Logger;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<ChangeListener>();
  readonly #waiters = new Set<Waiter>();
  readonly #following: Promise<void>;
  #nodes: readonly ServiceNode[] = [];
  #ready = false;
  /** Why there will be no further list. */
  #ended: Error | undefined;
  #failures = 0;
  #lastFailure: unknown;

  /** Follows at once. Throws BAD_OPTION. */
  constructor(registry: Registry, query: ServiceQuery, options: ResolverOptions = {}) {
    checkNames('a Resolver', options, NAMES);
    this.query = query;
    this.#registry = registry;
    this.#logger = guardedLogger(options.logger);
    this.#delays = withDefaults(RESOLVER_DEFAULTS, options, {
      initialDelay: [1, LONGEST_TIMER],
      maxDelay: [1, LONGEST_TIMER],
    });
    this.#following = this.#follow();
  }

  /**
   * The last good list, ordered by id; the same array until it changes, and empty before the first.
   */
  nodes(): readonly ServiceNode[] {
    return this.#nodes;
  }

  /** Whether there was a list yet, which may be empty. */
  get isReady(): boolean {
    return this.#ready;
  }

  /**
   * Why the registry gives no list, or no newer one; undefined: it is there, as far as is known.
   */
  get failure(): unknown {
    return this.#ended ?? this.#lastFailure ?? this.#registry.failure;
  }

  /**
   * The list, once there is one, which may be empty. `timeout` is in milliseconds; without it: as
   * long as it takes. Rejects with REGISTRY_FAILED (timed out, see its cause; or the registry is
   * disposed), ABORTED_BY_CALLER or ENDPOINT_CLOSED.
   */
  ready(
    options: { timeout?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<readonly ServiceNode[]> {
    checkNames('ready()', options, READY_NAMES);
    if (this.#ready) return Promise.resolve(this.#nodes);
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const { timeout, signal } = options;
    const aborted = (): Error =>
      gettyError(
        'ABORTED_BY_CALLER',
        `the wait for the list of ${this.query.service} was aborted`,
        signal?.reason,
      );
    if (signal?.aborted) return Promise.reject(aborted());
    return new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        timer?.cancel();
        release();
        this.#waiters.delete(waiter);
        act();
      };
      const waiter: Waiter = {
        resolve: (nodes) => settle(() => resolve(nodes)),
        reject: (error) => settle(() => reject(error)),
      };
      const timer =
        timeout === undefined
          ? undefined
          : new LongTimer(() => waiter.reject(this.#tooLate(timeout)), timeout);
      const release = followSignal(signal, () => waiter.reject(aborted()));
      this.#waiters.add(waiter);
    });
  }

  #tooLate(timeout: number): Error {
    const { failure } = this;
    const why = failure === undefined ? '' : `: ${messageOf(failure)}`;
    return gettyError(
      'REGISTRY_FAILED',
      `the registry gave no list of ${this.query.service} within ${timeout} ms${why}`,
      failure,
    );
  }

  /** Answers the function that takes the listener away again. */
  onChange(listener: ChangeListener): () => void {
    // Wrapped, so that a listener that is added twice is there twice.
    const added: ChangeListener = (change, nodes) => listener(change, nodes);
    this.#listeners.add(added);
    return () => {
      this.#listeners.delete(added);
    };
  }

  /**
   * As onChange(), and a list that is there already is told of first, as added, before this
   * returns.
   */
  notify(listener: ChangeListener): () => void {
    const stop = this.onChange(listener);
    if (this.#nodes.length > 0)
      this.#tell(listener, { added: this.#nodes, removed: [], updated: [] });
    return stop;
  }

  #tell(listener: ChangeListener, change: SnapshotChange): void {
    notify(
      () => listener(change, this.#nodes),
      (error) =>
        this.#logger.warn({ query: this.query, error }, 'resolver: a change listener failed'),
    );
  }

  /** End the watch; the last list stays. */
  async close(): Promise<void> {
    this.#end(gettyError('ENDPOINT_CLOSED', `the resolver of ${this.query.service} is closed`));
    this.#listeners.clear();
    this.#abort.abort();
    await this.#following;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #follow(): Promise<void> {
    const { signal } = this.#abort;
    for (;;) {
      try {
        const lists = this.#registry.watch(this.query, { signal });
        refusePromise('BAD_OPTION', 'watch() of the registry', lists);
        for await (const nodes of lists) {
          if (signal.aborted) return;
          this.#take(nodes);
        }
        // Only a disposed registry ends a watch that nobody aborted, and it does not come back.
        if (!signal.aborted)
          this.#end(
            gettyError(
              'REGISTRY_FAILED',
              `the registry was disposed while ${this.query.service} was watched`,
            ),
          );
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#lost(error);
      }
      await this.#backoff(signal);
      if (signal.aborted) return;
    }
  }

  #take(nodes: readonly ServiceNode[]): void {
    if (this.#failures > 0)
      this.#logger.info({ query: this.query }, 'resolver: the registry is back');
    this.#failures = 0;
    this.#lastFailure = undefined;
    const change = compareSnapshots(this.#nodes, nodes);
    const changed = change.added.length + change.removed.length + change.updated.length > 0;
    this.#ready = true;
    // An equal list keeps the array, which balancers know theirs by.
    if (changed) this.#nodes = nodes;
    inTurns([...this.#waiters], (waiter) => {
      if (this.#waiters.has(waiter)) waiter.resolve(this.#nodes);
    });
    if (!changed) return;
    for (const listener of [...this.#listeners]) this.#tell(listener, change);
  }

  #lost(error: unknown): void {
    this.#lastFailure = error;
    this.#failures++;
    if (this.#failures > 1) return;
    this.#logger.warn(
      { query: this.query, error, nodes: this.#nodes.length },
      'resolver: the registry is away, the last list stands',
    );
  }

  #end(error: Error): void {
    this.#ended ??= error;
    inTurns([...this.#waiters], (waiter) => {
      if (this.#waiters.has(waiter)) waiter.reject(error);
    });
  }

  #backoff(signal: AbortSignal): Promise<boolean> {
    const { initialDelay, maxDelay } = this.#delays;
    const delay =
      Math.min(maxDelay, initialDelay * 2 ** Math.min(this.#failures - 1, 30)) *
      (0.5 + Math.random() / 2);
    return pause(delay, signal, true);
  }
}
