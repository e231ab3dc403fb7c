/** Keeps the tree true for all who watch: everything is read, then every change is followed from that revision on, and again after each loss. */
import { startTimer } from '../../core/timers.js';
import type { SnapshotSink } from '../../micro/snapshots.js';
import type { ServiceQuery } from '../../micro/types.js';
import { Backoff, type BackoffOptions, Nap } from './backoff.js';
import type { Connection } from './connection.js';
import { isTokenRefused, isTooLarge, registryFailed } from './failure.js';
import { Event_EventType } from './kv_pb.js';
import type { Link } from './link.js';
import type { RangeResponse, WatchResponse } from './rpc_pb.js';
import { keyText, Tree, type TreeOptions } from './tree.js';
import { WatchStream } from './watch-stream.js';

export interface FollowerOptions extends BackoffOptions, TreeOptions {
  /** Milliseconds that entries which vanished in an outage are given to come back. */
  readonly ttl: number;
  readonly waitForRegistry: boolean;
}

interface Watcher {
  readonly query: ServiceQuery;
  /** Nothing is offered before the tree is at this revision: what this process itself has written is in its first list. */
  from: bigint;
  served: boolean;
}

/** Entries per request; fewer when they are large. */
const PAGE = 1_000;
/** A watch that lasted for less, in ms, counts as a failure, so that a server that ends every watch makes no hot loop. */
const SHORTEST_LIFE = 2_000;
const END = new Uint8Array([0]);

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
  /** Until it is called, what vanishes is held. */
  #release: NodeJS.Timeout | undefined;

  constructor(link: Link, prefix: string, options: FollowerOptions) {
    this.#link = link;
    this.#prefix = prefix;
    this.#options = options;
    this.#tree = new Tree(prefix, options);
  }

  /** `from` is the revision of this process's last write. Answers the function that ends it. */
  follow(sink: SnapshotSink, query: ServiceQuery, from: bigint): () => void {
    this.#watchers.set(sink, { query, from, served: false });
    this.#byService.set(query.service, (this.#byService.get(query.service) ?? new Set()).add(sink));
    if (this.#stop === undefined) this.#start();
    else this.#offerTo(sink);
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
    // One after the other: the former may still be at its end.
    this.#running = this.#running.then(() => this.#run(stop));
  }

  #halt(): void {
    if (this.#stop !== undefined) this.#stop.stopped = true;
    this.#stop = undefined;
    this.#stream?.end();
    this.#nap.wake();
    this.#stopHolding();
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
        if (why === 'compacted')
          this.#options.logger.info({ path: this.#prefix }, 'registry: etcd has forgotten what was missed, everything is read again');
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
      if (!watcher.served) sink.fail(registryFailed(`the list of ${watcher.query.service} cannot be read`, error));
    }
  }

  /** Read everything as it is at one revision, which is answered. */
  async #read(connection: Connection, stop: { readonly stopped: boolean }): Promise<bigint> {
    const again = this.#revision > 0n;
    const keys = new Set<string>();
    const rangeEnd = prefixEnd(this.#prefix);
    let key: Uint8Array = Buffer.from(this.#prefix);
    let revision = 0n;
    let limit = PAGE;
    this.#tree.beginReading();
    // Whatever was written before now is in what is read now.
    for (const watcher of this.#watchers.values()) watcher.from = 0n;
    for (;;) {
      const page = await this.#readPage(connection, { key, rangeEnd, revision, limit: BigInt(limit) });
      if (stop.stopped) return 0n;
      if (page === undefined) {
        limit = Math.max(1, Math.floor(limit / 8));
        continue;
      }
      revision ||= page.header?.revision ?? 0n;
      for (const kv of page.kvs) {
        this.#tree.put(kv);
        const text = keyText(kv.key);
        if (text !== undefined) keys.add(text);
      }
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) break;
      key = Buffer.concat([last.key, END]);
      limit = Math.min(PAGE, limit * 2);
    }
    // What is missing after an outage was perhaps lost with the providers' leases, and they put it back as soon as they can.
    if (again && this.#away) this.#hold();
    this.#away = false;
    this.#tree.keepOnly(keys, this.#release !== undefined);
    this.#revision = revision;
    this.#tree.takeChanged();
    for (const sink of [...this.#watchers.keys()]) this.#offerTo(sink);
    return revision;
  }

  /** undefined: it is too large, ask for less. */
  async #readPage(
    connection: Connection,
    range: { key: Uint8Array; rangeEnd: Uint8Array; revision: bigint; limit: bigint },
  ): Promise<RangeResponse | undefined> {
    try {
      return await this.#link.call(connection, (options) => connection.kv.range(range, options));
    } catch (error) {
      if (isTooLarge(error) && range.limit > 1n) return undefined;
      throw error;
    }
  }

  async #follow(connection: Connection, revision: bigint): Promise<'compacted' | 'room' | 'ended'> {
    const stream = new WatchStream<'root'>(connection);
    let why: 'compacted' | 'room' | 'ended' = 'ended';
    this.#stream = stream;
    stream.add('root', { key: Buffer.from(this.#prefix), rangeEnd: prefixEnd(this.#prefix), startRevision: revision + 1n });
    const end = (reason: typeof why): void => {
      why = reason;
      stream.end();
    };
    try {
      await stream.run(
        (_, answer) => {
          this.#take(answer);
          if (this.#tree.hasRoomAgain) end('room');
        },
        () => end('compacted'),
      );
      return why;
    } catch (error) {
      this.#link.failed(connection, error);
      throw error;
    } finally {
      this.#stream = undefined;
    }
  }

  #take({ header, events, fragment }: WatchResponse): void {
    const hold = this.#release !== undefined;
    for (const { type, kv } of events) {
      if (kv === undefined) continue;
      if (type === Event_EventType.DELETE) this.#tree.delete(kv.key, hold);
      else this.#tree.put(kv);
    }
    // The rest of one moment's changes follows.
    if (fragment) return;
    const before = this.#revision;
    if (header !== undefined && header.revision > before) this.#revision = header.revision;
    this.#offerChanged();
    if (before !== this.#revision) this.#offerToWaiting();
  }

  #offerChanged(): void {
    for (const service of this.#tree.takeChanged()) {
      for (const sink of [...(this.#byService.get(service) ?? [])]) this.#offerTo(sink);
    }
  }

  /** Those who wait for what this process has written itself. */
  #offerToWaiting(): void {
    for (const [sink, { served }] of [...this.#watchers]) if (!served) this.#offerTo(sink);
  }

  #offerTo(sink: SnapshotSink): void {
    const watcher = this.#watchers.get(sink);
    if (watcher === undefined || this.#revision === 0n || this.#revision < watcher.from) return;
    watcher.served = true;
    sink.offer(this.#tree.list(watcher.query));
  }

  #hold(): void {
    this.#stopHolding();
    this.#release = startTimer(() => {
      this.#release = undefined;
      this.#tree.releaseHeld();
      this.#offerChanged();
    }, this.#options.ttl).unref();
  }

  #stopHolding(): void {
    clearTimeout(this.#release);
    this.#release = undefined;
  }
}

/** The end of the range of all keys that begin with the prefix, which ends in a slash. */
function prefixEnd(prefix: string): Uint8Array {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end.at(-1) as number) + 1;
  return end;
}
