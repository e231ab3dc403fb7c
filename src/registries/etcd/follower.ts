/**
 * Keeps the tree true for all who watch: everything is read, then every change is followed from
 * that revision on, and again after each loss.
 */
import { startTimer } from '../../core/timers.js';
import type { SnapshotSink } from '../../micro/snapshots.js';
import type { ServiceQuery } from '../../micro/types.js';
import { Backoff, type BackoffOptions, Nap } from './backoff.js';
import type { Connection } from './connection.js';
import { isTokenRefused, registryFailed } from './failure.js';
import type { Link } from './link.js';
import { prefixEnd, readPages } from './pages.js';
import { Event_EventType } from './proto/kv_pb.js';
import type { WatchResponse } from './proto/rpc_pb.js';
import { keyText, Tree, type TreeOptions } from './tree.js';
import { WatchStream } from './watch-stream.js';

export interface FollowerOptions extends BackoffOptions, TreeOptions {
  /** Milliseconds that entries which vanished in an outage are given to come back. */
  readonly ttl: number;
  readonly waitForRegistry: boolean;
}

interface Watcher {
  readonly query: ServiceQuery;
  /**
   * The first list has everything up to this revision, which is what etcd had when the watcher
   * began; undefined: not known yet.
   */
  from: bigint | undefined;
  served: boolean;
}

/** Milliseconds between two questions for the revision of the stream. */
const PROGRESS_INTERVAL = 200;
/**
 * Of etcd before 3.4.25 and 3.5.8 an answer may overtake the events before it; the answer to a
 * second question cannot.
 */
const PROGRESS_ANSWERS = 2;
/**
 * Lists of `n` nodes are offered at most once in n / NODES_PER_MS ms, so that a thousand
 * registrations do not make a thousand lists of a thousand.
 */
const NODES_PER_MS = 20;
const LONGEST_PAUSE = 1_000;
/**
 * A watch that lasted for less, in ms, counts as a failure, so that a server that ends every watch
 * makes no hot loop.
 */
const SHORTEST_LIFE = 2_000;

/**
 * `replaced`: the data are others than those that were read. `room`: entries that did not fit
 * before fit now.
 */
type EndOfStream = 'compacted' | 'room' | 'replaced' | 'ended';

export class Follower {
  readonly #link: Link;
  readonly #prefix: string;
  readonly #options: FollowerOptions;
  readonly #watchers = new Map<SnapshotSink, Watcher>();
  readonly #byService = new Map<string, Set<SnapshotSink>>();
  readonly #nap = new Nap();
  #tree: Tree;
  /** Up to which the tree is true; 0: nothing was read yet. */
  #revision = 0n;
  /** Ends the loop when nobody watches any more. */
  #stop: { stopped: boolean } | undefined;
  #running: Promise<void> = Promise.resolve();
  #stream: WatchStream<'root'> | undefined;
  /** There was an outage since everything was read. */
  #away = false;
  /** The cluster that was read. */
  #cluster = 0n;
  /** Until when entries whose keys are gone stay in the lists, by performance.now(). */
  #graceEnd = 0;
  #release: NodeJS.Timeout | undefined;
  /** Services whose lists have changed and were not offered yet. */
  readonly #changed = new Set<string>();
  #offerTimer: NodeJS.Timeout | undefined;
  /** By performance.now(). */
  #nextOfferAt = 0;
  #asking = false;
  #progressTimer: NodeJS.Timeout | undefined;
  #progressAnswers = 0;

  constructor(link: Link, prefix: string, options: FollowerOptions) {
    this.#link = link;
    this.#prefix = prefix;
    this.#options = options;
    this.#tree = new Tree(prefix, options);
  }

  /**
   * Everything that was published before now is in the first list. Returns the function that ends
   * it.
   */
  follow(sink: SnapshotSink, query: ServiceQuery): () => void {
    this.#watchers.set(sink, { query, from: undefined, served: false });
    this.#byService.set(query.service, (this.#byService.get(query.service) ?? new Set()).add(sink));
    if (this.#stop === undefined) this.#start();
    else if (this.#away && this.#revision > 0n) this.#offerTo(sink);
    else void this.#askRevision();
    return () => this.#unfollow(sink, query.service);
  }

  #unfollow(sink: SnapshotSink, service: string): void {
    this.#watchers.delete(sink);
    const sinks = this.#byService.get(service);
    sinks?.delete(sink);
    if (sinks?.size === 0) this.#byService.delete(service);
    if (this.#watchers.size === 0) this.#halt();
  }

  #start(): void {
    const stop = { stopped: false };
    this.#stop = stop;
    this.#tree = new Tree(this.#prefix, this.#options);
    this.#revision = 0n;
    this.#away = false;
    // One after the other: the former may still be at its end.
    this.#running = this.#running.then(() => this.#run(stop));
  }

  #halt(): void {
    if (this.#stop !== undefined) this.#stop.stopped = true;
    this.#stop = undefined;
    this.#stream?.end();
    this.#nap.wake();
    this.#graceEnd = 0;
    clearTimeout(this.#release);
    clearTimeout(this.#offerTimer);
    this.#offerTimer = undefined;
    clearTimeout(this.#progressTimer);
    this.#progressTimer = undefined;
  }

  /** End every watch, and resolve when nothing is under way any more. */
  async close(): Promise<void> {
    for (const sink of [...this.#watchers.keys()]) sink.end();
    this.#halt();
    await this.#running;
  }

  async #run(stop: { readonly stopped: boolean }): Promise<void> {
    const backoff = new Backoff(this.#options);
    while (!stop.stopped) {
      const began = performance.now();
      try {
        const connection = await this.#link.connection();
        if (stop.stopped) return;
        const revision = await this.#read(connection, stop);
        if (stop.stopped) return;
        const why = await this.#follow(connection, revision);
        if (performance.now() - began > SHORTEST_LIFE) backoff.reset();
        if (stop.stopped) return;
        if (why === 'replaced') this.#away = true;
        else if (why === 'compacted')
          this.#options.logger.info(
            { path: this.#prefix },
            'registry: etcd has forgotten what was missed, everything is read again',
          );
      } catch (error) {
        if (stop.stopped) return;
        if (performance.now() - began > SHORTEST_LIFE) backoff.reset();
        if (!isTokenRefused(error)) this.#lost(error);
      }
      await this.#nap.sleep(backoff.next());
    }
  }

  #lost(error: unknown): void {
    this.#away = true;
    this.#link.tell(error);
    if (this.#options.waitForRegistry) return;
    for (const [sink, watcher] of [...this.#watchers]) {
      if (!watcher.served)
        sink.fail(
          registryFailed(
            this.#link.name,
            `the list of ${watcher.query.service} cannot be read`,
            error,
          ),
        );
    }
  }

  /** Read everything as it is at one revision, which is answered. */
  async #read(connection: Connection, stop: { readonly stopped: boolean }): Promise<bigint> {
    const isAgain = this.#revision > 0n;
    const keys = new Set<string>();
    let revision = 0n;
    this.#tree.beginReading();
    // Whatever was written before now is in what is read now.
    for (const watcher of this.#watchers.values()) watcher.from = 0n;
    for await (const { header, kvs } of readPages(this.#link, connection, this.#prefix)) {
      if (stop.stopped) return 0n;
      revision ||= header?.revision ?? 0n;
      this.#cluster = header?.clusterId ?? 0n;
      for (const kv of kvs) {
        this.#tree.put(kv);
        const text = keyText(kv.key);
        if (text !== undefined) keys.add(text);
      }
    }
    if (stop.stopped) return 0n;
    // What is missing after an outage was perhaps lost with the providers' leases, and they put it
    // back as soon as they can.
    if (isAgain && this.#away) this.#graceEnd = performance.now() + this.#options.ttl;
    this.#away = false;
    this.#tree.keepOnly(keys, this.#graceEnd);
    this.#releaseLater();
    this.#revision = revision;
    this.#tree.takeChanged();
    this.#changed.clear();
    for (const sink of [...this.#watchers.keys()]) this.#offerTo(sink);
    return revision;
  }

  async #follow(connection: Connection, revision: bigint): Promise<EndOfStream> {
    const stream = new WatchStream<'root'>(connection);
    let why: EndOfStream = 'ended';
    this.#stream = stream;
    stream.add('root', {
      key: Buffer.from(this.#prefix),
      rangeEnd: prefixEnd(this.#prefix),
      startRevision: revision + 1n,
    });
    const end = (reason: EndOfStream): void => {
      why = reason;
      stream.end();
    };
    void this.#askRevision();
    try {
      await stream.run(
        (_, answer) => {
          if (this.#isReplaced(answer)) return end('replaced');
          this.#take(answer);
          if (this.#tree.hasRoomAgain) end('room');
        },
        () => end('compacted'),
        (answer) => (this.#isReplaced(answer) ? end('replaced') : this.#onProgress(answer)),
      );
      return why;
    } catch (error) {
      this.#link.failed(connection, error);
      throw error;
    } finally {
      this.#stream = undefined;
    }
  }

  /** Another cluster answers, or the same one from an older copy of its data. */
  #isReplaced({ header }: WatchResponse): boolean {
    if (header === undefined || header.revision === 0n) return false;
    return header.clusterId !== this.#cluster || header.revision < this.#revision;
  }

  #take({ header, events, fragment }: WatchResponse): void {
    for (const { type, kv } of events) {
      if (kv === undefined) continue;
      if (type === Event_EventType.DELETE) this.#tree.delete(kv.key, this.#graceEnd);
      else this.#tree.put(kv);
    }
    // The rest of one moment's changes follows.
    if (fragment) return;
    this.#releaseLater();
    const before = this.#revision;
    if (header !== undefined && header.revision > before) this.#revision = header.revision;
    this.#offerChanged();
    if (before !== this.#revision) this.#offerToWaiting();
  }

  // ---- first lists of watchers that began while the stream was open ----

  /**
   * Find out which revision the new watchers' first lists must have. One question serves all that
   * wait when it is asked.
   */
  async #askRevision(): Promise<void> {
    const stream = this.#stream;
    if (this.#asking || stream === undefined) return;
    this.#asking = true;
    try {
      for (;;) {
        const asked = [...this.#watchers.values()].filter(({ from }) => from === undefined);
        if (asked.length === 0 || this.#stream !== stream) return;
        const { connection } = stream;
        const { header } = await this.#link.call(connection, (options) =>
          connection.kv.range({ key: Buffer.from(this.#prefix) }, options),
        );
        for (const watcher of asked) watcher.from ??= header?.revision ?? 0n;
        this.#offerToWaiting();
        this.#askProgress();
      }
    } catch {
      // The stream ends with the connection, and then everything is read again.
    } finally {
      this.#asking = false;
    }
    // The next stream may have begun meanwhile.
    if (this.#stream !== stream) void this.#askRevision();
  }

  /**
   * The stream tells of changes under the root only. Whether it is up to date has to be asked,
   * until it is.
   */
  #askProgress(): void {
    if (
      this.#progressTimer !== undefined ||
      ![...this.#watchers.values()].some(({ served }) => !served)
    )
      return;
    this.#progressAnswers = 0;
    this.#stream?.requestProgress();
    this.#progressTimer = startTimer(() => {
      this.#progressTimer = undefined;
      this.#askProgress();
    }, PROGRESS_INTERVAL).unref();
  }

  #onProgress({ header }: WatchResponse): void {
    this.#progressAnswers++;
    if (this.#progressAnswers < PROGRESS_ANSWERS) {
      this.#stream?.requestProgress();
      return;
    }
    if (header !== undefined && header.revision > this.#revision) this.#revision = header.revision;
    this.#offerToWaiting();
  }

  #offerToWaiting(): void {
    for (const [sink, { served, from }] of [...this.#watchers])
      if (!served && from !== undefined) this.#offerTo(sink);
  }

  // ---- later lists ----

  #offerChanged(): void {
    for (const service of this.#tree.takeChanged())
      if (this.#byService.has(service)) this.#changed.add(service);
    if (this.#changed.size === 0 || this.#offerTimer !== undefined) return;
    const pause = this.#nextOfferAt - performance.now();
    if (pause <= 0) this.#offerNow();
    else this.#offerTimer = startTimer(() => this.#offerNow(), pause).unref();
  }

  #offerNow(): void {
    this.#offerTimer = undefined;
    let nodes = 0;
    for (const service of this.#changed) {
      for (const sink of [...(this.#byService.get(service) ?? [])]) nodes += this.#offerTo(sink);
    }
    this.#changed.clear();
    this.#nextOfferAt = performance.now() + Math.min(LONGEST_PAUSE, nodes / NODES_PER_MS);
  }

  /** Returns the number of nodes of the list. */
  #offerTo(sink: SnapshotSink): number {
    const watcher = this.#watchers.get(sink);
    if (watcher === undefined || this.#revision === 0n) return 0;
    // While etcd is away, the last list is all there is.
    if (
      !watcher.served &&
      !this.#away &&
      (watcher.from === undefined || this.#revision < watcher.from)
    )
      return 0;
    watcher.served = true;
    const nodes = this.#tree.list(watcher.query);
    sink.offer(nodes);
    return nodes.length;
  }

  #releaseLater(): void {
    const at = this.#tree.nextLeavesAt;
    clearTimeout(this.#release);
    if (at === Number.POSITIVE_INFINITY) return;
    this.#release = startTimer(
      () => {
        this.#tree.removeLeft();
        this.#releaseLater();
        this.#offerChanged();
      },
      Math.max(1, at - performance.now()),
    ).unref();
  }
}
