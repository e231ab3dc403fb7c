/**
 * Keeps the entry cache up to date for all watches. It reads everything, watches the changes from
 * that revision on, and reads everything again after each loss of the connection.
 */
import { startTimer } from '../../core/timers.js';
import type { SnapshotSink } from '../../micro/snapshots.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';
import { Backoff, type BackoffOptions } from '../shared/backoff.js';
import { InterruptibleSleep } from '../shared/interruptible-sleep.js';
import { isTokenRefused, registryFailed } from './client/errors.js';
import type { EtcdClient } from './client/etcd-client.js';
import type { MemberConnection } from './client/member-connection.js';
import { prefixEnd, readPages } from './client/range-pages.js';
import { WatchStream } from './client/watch-stream.js';
import { EntryCache, type EntryCacheOptions, keyText } from './entry-cache.js';
import { Event_EventType } from './proto/kv_pb.js';
import type { WatchResponse } from './proto/rpc_pb.js';
import { type ChangeStream, RevisionTracker } from './revision-tracker.js';
import { type ListSource, SnapshotWatches } from './snapshot-watches.js';

export interface CacheUpdaterOptions extends BackoffOptions, EntryCacheOptions {
  /** Milliseconds for which entries that are missing after an outage stay in the lists. */
  readonly ttl: number;
  readonly waitForRegistry: boolean;
}

/**
 * Milliseconds. A watch that lasted for less counts as a failure, so that a server that ends every
 * watch causes no busy loop.
 */
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
    this.#cache = new EntryCache(prefix, options);
    this.#revisions = new RevisionTracker(client, prefix, this.#watches, this);
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
    this.#cache = new EntryCache(this.#prefix, this.#options);
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
    const keys = new Set<string>();
    let revision = 0n;
    this.#cache.beforeFullRead();
    this.#watches.beforeFullRead();
    for await (const { header, kvs } of readPages(this.#client, connection, this.#prefix)) {
      if (run.isStopped) return 0n;
      revision ||= header?.revision ?? 0n;
      this.#clusterId = header?.clusterId ?? 0n;
      for (const kv of kvs) {
        this.#cache.put(kv);
        const text = keyText(kv.key);
        if (text !== undefined) keys.add(text);
      }
    }
    if (run.isStopped) return 0n;
    // Keys that are missing after an outage may have expired with the leases of living providers,
    // which publish them again.
    if (wasRead && this.#hadOutage) this.#graceEnd = performance.now() + this.#options.ttl;
    this.#hadOutage = false;
    this.#cache.keepOnly(keys, this.#graceEnd);
    this.#scheduleRemoval();
    this.#revision = revision;
    this.#cache.takeChangedServices();
    this.#watches.offerAll();
    return revision;
  }

  async #watchChanges(connection: MemberConnection, revision: bigint): Promise<EndReason> {
    const stream = new WatchStream<'root'>(connection);
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
        (_, answer) => {
          if (this.#isReplaced(answer)) return end('replaced');
          this.#onChanges(answer);
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
    }
  }

  /** Whether the answer is from another cluster, or from an older copy of the data. */
  #isReplaced({ header }: WatchResponse): boolean {
    if (header === undefined || header.revision === 0n) return false;
    return header.clusterId !== this.#clusterId || header.revision < this.#revision;
  }

  #onChanges({ header, events, fragment }: WatchResponse): void {
    for (const { type, kv } of events) {
      if (kv === undefined) continue;
      if (type === Event_EventType.DELETE) this.#cache.delete(kv.key, this.#graceEnd);
      else this.#cache.put(kv);
    }
    // A further answer has the other changes of the same revision.
    if (fragment) return;
    this.#scheduleRemoval();
    const before = this.#revision;
    this.advanceTo(header?.revision);
    this.#watches.offerChanged(this.#cache.takeChangedServices());
    if (before !== this.#revision) this.#watches.offerFirst();
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
        this.#cache.removeExpired();
        this.#scheduleRemoval();
        this.#watches.offerChanged(this.#cache.takeChangedServices());
      },
      Math.max(1, at - performance.now()),
    ).unref();
  }
}
