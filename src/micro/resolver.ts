/** The resolver: the current nodes of one query. */
import { notify, refusePromise } from '../core/callbacks.js';
import { gettyError, messageOf } from '../core/errors.js';
import { guardedLogger, type Logger } from '../core/logger.js';
import { badOption, checkNames, checkNumber, type NamesOf, withDefaults } from '../core/options.js';
import { checkSignal, followSignal, reasonOf } from '../core/signals.js';
import { backoffDelay, LONGEST_TIMER, LongTimer, pause } from '../core/timers.js';
import { inTurns, nextTurn } from '../core/turn.js';
import { checkRegistry } from './check-registry.js';
import { checkQuery } from './entry-attributes.js';
import { failureOf, ListedNodes } from './nodes/listed-nodes.js';
import { compareSnapshots, type SnapshotChange } from './snapshots.js';
import type { Registry, ServiceNode, ServiceQuery } from './types.js';

/** Options of a Resolver. */
export interface ResolverOptions {
  /**
   * Milliseconds before the first retry of a failed watch; doubles with each failure up to
   * `maxDelay`. Each delay is random between half of that and the whole. Default: 100.
   */
  initialDelay?: number | undefined;
  /** The longest delay before a retry, in milliseconds. Default: 5,000. */
  maxDelay?: number | undefined;
  /** Receives a line when the watch fails, and when it works again. Default: none. */
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

/** Defaults of ResolverOptions, in milliseconds. */
export const RESOLVER_DEFAULTS = { initialDelay: 100, maxDelay: 5_000 } satisfies ResolverOptions;

/**
 * Called with each change, after nodes() has the new list. The first list is a change from an empty
 * one. An error that it throws is logged.
 */
export type ChangeListener = (change: SnapshotChange, nodes: readonly ServiceNode[]) => unknown;

/** A registry that gives lists without a pause must not stop the event loop. */
const LISTS_PER_TURN = 16;
/** Milliseconds that close() waits for the end of the watch. */
const WATCH_END_TIMEOUT = 1_000;

interface Waiter {
  resolve(nodes: readonly ServiceNode[]): void;
  reject(error: Error): void;
}

/** Watches the nodes of one query, and keeps the last list while the registry is unreachable. */
export class Resolver implements AsyncDisposable {
  readonly query: ServiceQuery;
  readonly #registry: Registry;
  readonly #delays: typeof RESOLVER_DEFAULTS;
  readonly #logger: Logger;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<ChangeListener>();
  readonly #waiters = new Set<Waiter>();
  #onWatchEnd!: () => void;
  readonly #watchEnd = new Promise<void>((resolve) => {
    this.#onWatchEnd = resolve;
  });
  #nodes: readonly ServiceNode[] = [];
  #hasList = false;
  #lists = 0;
  /** Why there will be no further list. */
  #endReason: Error | undefined;
  /** Failures of the watch in a row. */
  #failures = 0;
  #lastFailure: unknown;
  readonly #listedNodes = new ListedNodes();
  /** Whether nodes of the last list are left out. */
  #hasInvalidNodes = false;

  /** Starts the watch at once. Throws BAD_OPTION. */
  constructor(registry: Registry, query: ServiceQuery, options: ResolverOptions = {}) {
    checkRegistry(registry, 'watch');
    checkQuery(query, {});
    checkNames('a Resolver', options, NAMES);
    this.query = query;
    this.#registry = registry;
    this.#logger = guardedLogger(options.logger);
    this.#delays = withDefaults(RESOLVER_DEFAULTS, options, {
      initialDelay: [1, LONGEST_TIMER],
      maxDelay: [1, LONGEST_TIMER],
    });
    void this.#watch();
  }

  /** The last list, ordered by id; the same array until it changes. Empty before the first list. */
  nodes(): readonly ServiceNode[] {
    return this.#nodes;
  }

  /** Whether the registry has given a list. The list may be empty, and may be out of date. */
  get isReady(): boolean {
    return this.#hasList;
  }

  /** Why the registry gives no list, or no newer one. Undefined: no failure is known. */
  get failure(): unknown {
    return this.#endReason ?? this.#lastFailure ?? failureOf(this.#registry);
  }

  /**
   * Waits for the first list, which may be empty. `timeout` is in milliseconds; default: no limit.
   * Rejects with REGISTRY_FAILED (it timed out, see the cause, or the registry is disposed),
   * ABORTED_BY_CALLER or ENDPOINT_CLOSED.
   */
  ready(
    options: { timeout?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<readonly ServiceNode[]> {
    checkNames('ready()', options, READY_NAMES);
    if (options.timeout !== undefined)
      checkNumber('timeout', options.timeout, 0, Number.POSITIVE_INFINITY);
    checkSignal(options.signal);
    if (this.#hasList) return Promise.resolve(this.#nodes);
    if (this.#endReason !== undefined) return Promise.reject(this.#endReason);
    const { timeout, signal } = options;
    const abortError = (): Error =>
      gettyError(
        'ABORTED_BY_CALLER',
        `the wait for the list of ${this.query.service} was aborted`,
        reasonOf(signal),
      );
    if (signal?.aborted) return Promise.reject(abortError());
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
          : new LongTimer(() => waiter.reject(this.#timeoutError(timeout)), timeout);
      const release = followSignal(signal, () => waiter.reject(abortError()));
      this.#waiters.add(waiter);
    });
  }

  #timeoutError(timeout: number): Error {
    const { failure } = this;
    const why = failure === undefined ? '' : `: ${messageOf(failure)}`;
    return gettyError(
      'REGISTRY_FAILED',
      `the registry gave no list of ${this.query.service} within ${timeout} ms${why}`,
      failure,
    );
  }

  /** Calls `listener` with each change. Returns the function that ends this. */
  onChange(listener: ChangeListener): () => void {
    if (typeof listener !== 'function') throw badOption('listener', listener, 'a function');
    // A new function, so that the same listener can be added twice.
    const added: ChangeListener = (change, nodes) => listener(change, nodes);
    this.#listeners.add(added);
    return () => {
      this.#listeners.delete(added);
    };
  }

  /**
   * Like onChange(), but first calls `listener` with the current nodes as `added`, before it
   * returns. Without nodes there is no such call.
   */
  notify(listener: ChangeListener): () => void {
    const stop = this.onChange(listener);
    if (this.#nodes.length > 0)
      this.#notifyListener(listener, { added: this.#nodes, removed: [], updated: [] });
    return stop;
  }

  #notifyListener(listener: ChangeListener, change: SnapshotChange): void {
    notify(
      () => listener(change, this.#nodes),
      (error) =>
        this.#logger.warn({ query: this.query, error }, 'resolver: a change listener failed'),
    );
  }

  /**
   * Ends the watch, and waits for its end, for at most 1 s: a registry of a program may not end it.
   * The last list stays.
   */
  async close(): Promise<void> {
    this.#end(gettyError('ENDPOINT_CLOSED', `the resolver of ${this.query.service} is closed`));
    this.#listeners.clear();
    this.#abort.abort();
    const timer = new LongTimer(() => {
      this.#logger.warn(
        { query: this.query },
        `resolver: the registry did not end the watch within ${WATCH_END_TIMEOUT} ms`,
      );
      this.#onWatchEnd();
    }, WATCH_END_TIMEOUT);
    await this.#watchEnd;
    timer.cancel();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Watches until close(), and begins again after each failure. */
  async #watch(): Promise<void> {
    const { signal } = this.#abort;
    const { initialDelay, maxDelay } = this.#delays;
    try {
      for (;;) {
        try {
          const lists = this.#registry.watch(this.query, { signal });
          refusePromise('BAD_OPTION', 'watch() of the registry', lists);
          for await (const nodes of lists) {
            if (signal.aborted) return;
            this.#onList(nodes);
            if (++this.#lists % LISTS_PER_TURN === 0) await nextTurn();
          }
          // A watch that ends without a failure: the registry is disposed.
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
          this.#onWatchFailed(error);
        }
        await pause(backoffDelay(this.#failures, initialDelay, maxDelay), signal, true);
        if (signal.aborted) return;
      }
    } finally {
      this.#onWatchEnd();
    }
  }

  #onList(list: unknown): void {
    const { nodes, failure } = this.#listedNodes.read(list);
    if (this.#failures > 0)
      this.#logger.info({ query: this.query }, 'resolver: the watch works again');
    this.#failures = 0;
    if (failure !== undefined && !this.#hasInvalidNodes)
      this.#logger.warn({ query: this.query, error: failure }, 'resolver: nodes are left out');
    this.#hasInvalidNodes = failure !== undefined;
    this.#lastFailure = failure;
    const change = compareSnapshots(this.#nodes, nodes);
    const hasChanged = change.added.length + change.removed.length + change.updated.length > 0;
    this.#hasList = true;
    // An equal list keeps the old array: balancers cache by the identity of the array.
    if (hasChanged) this.#nodes = nodes;
    inTurns([...this.#waiters], (waiter) => {
      if (this.#waiters.has(waiter)) waiter.resolve(this.#nodes);
    });
    if (!hasChanged) return;
    for (const listener of [...this.#listeners])
      if (this.#listeners.has(listener)) this.#notifyListener(listener, change);
  }

  #onWatchFailed(error: unknown): void {
    this.#lastFailure = error;
    this.#failures++;
    if (this.#failures > 1) return;
    this.#logger.warn(
      { query: this.query, error, nodes: this.#nodes.length },
      'resolver: the watch failed, the last list is kept',
    );
  }

  #end(reason: Error): void {
    this.#endReason ??= reason;
    inTurns([...this.#waiters], (waiter) => {
      if (this.#waiters.has(waiter)) waiter.reject(reason);
    });
  }
}
