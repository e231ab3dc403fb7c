/**
 * Keeps the entry cache up to date for all watches. It reads everything, watches the changes from
 * that revision on, and reads everything again after each loss of the connection.
 */
import { startTimer } from '../../core/timers.js';
import { nextTurn } from '../../core/turn.js';
import type { SnapshotSink } from '../../micro/snapshots.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import { Backoff, type BackoffOptions } from '../shared/backoff.js';
import { InterruptibleSleep } from '../shared/interruptible-sleep.js';
import { isTokenRefused, registryFailed } from './client/errors.js';
import type { EtcdClient } from './client/etcd-client.js';
import type { MemberConnection } from './client/member-connection.js';
import { PartLimit } from './client/part-limit.js';
import { prefixEnd, readPages } from './client/range-pages.js';
import { WatchStream } from './client/watch-stream.js';
import { EntryCache, type EntryCacheOptions } from './entry-cache.js';
import { Event_EventType } from './proto/kv_pb.js';
import type { WatchResponse } from './proto/rpc_pb.js';
import { type ChangeStream, RevisionTracker } from './revision-tracker.js';
import { type ListSource, SnapshotWatches } from './snapshot-watches.js';

export interface CacheUpdaterOptions extends BackoffOptions, EntryCacheOptions {
  /** Milliseconds for which entries that are missing after an outage stay in the lists. */
  readonly ttl: number;
  readonly waitForRegistry: boolean;
}

/** Milliseconds. A shorter watch counts as a failure, so that it causes no busy loop. */
const MIN_WATCH_TIME = 2_000;

/**
 * `replaced`: etcd has other data than before, such as a restored backup. `hasRoom`: entries that
 * did not fit into the cache fit now.
 */
type EndReason = 'compacted' | 'hasRoom' | 'replaced' | 'ended';

/** One run of the loop. */
interface Run {
  isStopped: boolean;
}

export class CacheUpdater implements ListSource, ChangeStream {
  readonly #client: EtcdClient;
  readonly #prefix: string;
  readonly #options: CacheUpdaterOptions;
  readonly #watches = new SnapshotWatches(this);
  readonly #sleep = new InterruptibleSleep();
  readonly #revisions: RevisionTracker;
  #cache: EntryCache;
  /** The revision of the cache. 0n: nothing was read yet. */
  #revision = 0n;
  /** The current run. undefined: there is no watch. */
  #run: Run | undefined;
  #running: Promise<void> = Promise.resolve();
  #stream: WatchStream<'root'> | undefined;
  /** Whether a part of a change is in the cache. */
  #isChanging = false;
  /** Whether there was an outage since the last full read. */
  #hadOutage = false;
  /** The id of the cluster of the last full read. */
  #clusterId = 0n;
  /** When entries whose keys were deleted leave the lists: a time of performance.now(). */
  #graceEnd = 0;
  #graceTimer: NodeJS.Timeout | undefined;

  /** `prefix`: the root with a slash at its end. */
  constructor(client: EtcdClient, prefix: string, options: CacheUpdaterOptions) {
    this.#client = client;
    this.#prefix = prefix;
    this.#options = options;
    this.#cache = this.#newCache();
    this.#revisions = new RevisionTracker(client, prefix, this.#watches, this);
  }

  #newCache(): EntryCache {
    const isWatched = (service: string): boolean => this.#watches.isWatched(service);
    return new EntryCache(this.#prefix, this.#options, { isWatched });
  }

  get revision(): bigint {
    return this.#revision;
  }

  get stream(): WatchStream<unknown> | undefined {
    return this.#stream;
  }

  get hadOutage(): boolean {
    return this.#hadOutage;
  }

  get isChanging(): boolean {
    return this.#isChanging;
  }

  list(query: ServiceQuery): readonly ServiceNode[] {
    return this.#cache.list(query);
  }

  /**
   * Adds a watch, whose first list has everything that was published before now. Returns the
   * function that removes it.
   */
  watch(sink: SnapshotSink, query: ServiceQuery): () => void {
    this.#watches.add(sink, query);
    if (this.#run === undefined) this.#start();
    else if (this.#hadOutage && this.#revision > 0n) this.#watches.offer(sink);
    else void this.#revisions.readRevision();
    return () => {
      this.#watches.remove(sink, query.service);
      if (this.#watches.isEmpty) this.#stop();
    };
  }

  #start(): void {
    const run: Run = { isStopped: false };
    this.#run = run;
    this.#cache = this.#newCache();
    this.#revision = 0n;
    this.#hadOutage = false;
    // The previous run may not have ended yet.
    this.#running = this.#running.then(() => this.#loop(run));
  }

  #stop(): void {
    if (this.#run !== undefined) this.#run.isStopped = true;
    this.#run = undefined;
    this.#stream?.end();
    this.#sleep.wake();
    this.#graceEnd = 0;
    clearTimeout(this.#graceTimer);
    this.#watches.cancelTimer();
    this.#revisions.stop();
  }

  /** Ends every watch. Resolves when no request is in flight. */
  async close(): Promise<void> {
    this.#watches.end();
    this.#stop();
    await this.#running;
  }

  async #loop(run: Readonly<Run>): Promise<void> {
    const backoff = new Backoff(this.#options);
    while (!run.isStopped) {
      const startedAt = performance.now();
      try {
        const connection = await this.#client.connection();
        if (run.isStopped) return;
        const revision = await this.#readAll(connection, run);
        if (run.isStopped) return;
        const reason = await this.#watchChanges(connection, revision);
        if (performance.now() - startedAt > MIN_WATCH_TIME) backoff.reset();
        if (run.isStopped) return;
        if (reason === 'replaced') this.#hadOutage = true;
        else if (reason === 'compacted')
          this.#options.logger.info(
            { path: this.#prefix },
            'registry: etcd has compacted the missed changes, everything is read again',
          );
      } catch (error) {
        if (run.isStopped) return;
        if (performance.now() - startedAt > MIN_WATCH_TIME) backoff.reset();
        // A rejected token is no outage: the requests of the next attempt get a new one.
        if (!isTokenRefused(error)) this.#onError(error);
      }
      await this.#sleep.sleep(backoff.next());
    }
  }

  #onError(error: unknown): void {
    this.#hadOutage = true;
    this.#client.reportOutage(error);
    if (this.#options.waitForRegistry) return;
    this.#watches.failWithoutList(({ service }) =>
      registryFailed(this.#client.endpoints, `the list of ${service} cannot be read`, error),
    );
  }

  /** Reads everything at one revision, and returns the revision. */
  async #readAll(connection: MemberConnection, run: Readonly<Run>): Promise<bigint> {
    const wasRead = this.#revision > 0n;
    const cache = this.#cache;
    let revision = 0n;
    cache.beginRead();
    this.#watches.beforeFullRead();
    const pages = readPages(this.#client, connection, this.#prefix, this.#options);
    for await (const { header, kvs } of pages) {
      if (run.isStopped) return 0n;
      revision ||= header?.revision ?? 0n;
      this.#clusterId = header?.clusterId ?? 0n;
      await cache.putAll(kvs);
    }
    if (run.isStopped) return 0n;
    // Keys that are missing after an outage may have expired with the leases of living providers,
    // which publish them again.
    if (wasRead && this.#hadOutage) this.#graceEnd = performance.now() + this.#options.ttl;
    this.#hadOutage = false;
    await cache.endRead(this.#graceEnd);
    if (run.isStopped) return 0n;
    this.#scheduleRemoval();
    this.#revision = revision;
    this.#cache.takeChangedServices();
    this.#watches.offerAll();
    return revision;
  }

  async #watchChanges(connection: MemberConnection, revision: bigint): Promise<EndReason> {
    const stream = new WatchStream<'root'>(connection);
    const parts = new PartLimit(this.#options);
    let endReason: EndReason = 'ended';
    this.#stream = stream;
    stream.add('root', {
      key: Buffer.from(this.#prefix),
      rangeEnd: prefixEnd(this.#prefix),
      startRevision: revision + 1n,
    });
    const end = (reason: EndReason): void => {
      endReason = reason;
      stream.end();
    };
    void this.#revisions.readRevision();
    try {
      await stream.run(
        async (_, answer) => {
          if (this.#isReplaced(answer)) return end('replaced');
          await this.#onChanges(answer, stream, parts);
          if (this.#cache.hasRoomAgain) end('hasRoom');
        },
        () => end('compacted'),
        (answer) =>
          this.#isReplaced(answer) ? end('replaced') : this.#revisions.onProgress(answer),
      );
      return endReason;
    } catch (error) {
      this.#client.onError(connection, error);
      throw error;
    } finally {
      this.#stream = undefined;
      this.#isChanging = false;
    }
  }

  /** Whether the answer is from another cluster, or from an older copy of the data. */
  #isReplaced({ header }: WatchResponse): boolean {
    if (header === undefined || header.revision === 0n) return false;
    return header.clusterId !== this.#clusterId || header.revision < this.#revision;
  }

  /** `parts` counts the fragments of one change. */
  async #onChanges(
    { header, events, fragment }: WatchResponse,
    stream: Readonly<WatchStream<unknown>>,
    parts: PartLimit,
  ): Promise<void> {
    const cache = this.#cache;
    this.#isChanging = true;
    await parts.add(events.map(({ kv }) => kv));
    for (const { type, kv } of events) {
      if (kv === undefined) continue;
      if (cache.spendOn(kv)) await nextTurn();
      if (stream.hasEnded) return;
      if (type === Event_EventType.DELETE) cache.delete(kv.key, this.#graceEnd);
      else cache.put(kv);
    }
    // A further answer has the other changes of the same revision.
    if (fragment) return;
    parts.reset();
    this.#isChanging = false;
    this.#scheduleRemoval();
    this.advanceTo(header?.revision);
    this.#watches.offerChanged(cache.takeChangedServices());
    this.#watches.offerFirst();
  }

  advanceTo(revision: bigint | undefined): void {
    if (revision !== undefined && revision > this.#revision) this.#revision = revision;
  }

  #scheduleRemoval(): void {
    const at = this.#cache.nextRemovalAt;
    clearTimeout(this.#graceTimer);
    if (at === Number.POSITIVE_INFINITY) return;
    this.#graceTimer = startTimer(
      () => {
        void this.#removeExpired(this.#cache);
      },
      Math.max(1, at - performance.now()),
    ).unref();
  }

  async #removeExpired(cache: EntryCache): Promise<void> {
    await cache.removeExpired();
    if (cache !== this.#cache || this.#run === undefined) return;
    this.#scheduleRemoval();
    if (!this.#isChanging) this.#watches.offerChanged(cache.takeChangedServices());
  }
}
