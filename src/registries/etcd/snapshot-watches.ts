/**
 * The calls of Registry.watch() on an etcd registry: which of them get which list of nodes, and
 * when. The watch streams of etcd are in client/watch-stream.ts.
 */
import { startTimer } from '../../core/timers.js';
import type { SnapshotSink } from '../../micro/snapshots.js';
import type { ServiceNode, ServiceQuery } from '../../micro/types.js';

/** One call of Registry.watch(). */
export interface Watch {
  readonly query: ServiceQuery;
  /**
   * The first list includes all changes up to this revision, which is that of etcd when the watch
   * began. undefined: not known yet.
   */
  minRevision: bigint | undefined;
  /** Whether the first list was offered. */
  hasList: boolean;
}

export interface ListSource {
  list(query: ServiceQuery): readonly ServiceNode[];
  /** The revision of the lists. 0n: nothing was read yet. */
  readonly revision: bigint;
  /**
   * Whether there was an outage since the last full read. Then first lists do not wait for a
   * revision.
   */
  readonly hadOutage: boolean;
  /** Whether a part of a change is in the lists. Then no list is offered. */
  readonly isChanging: boolean;
}

/**
 * A list of n nodes delays the next list by n / NODES_PER_MS ms, so that a thousand registrations
 * do not cause a thousand lists with a thousand nodes each.
 */
const NODES_PER_MS = 20;
/** The longest delay of a list, in milliseconds. */
const MAX_OFFER_DELAY = 1_000;
/** A Watch.minRevision that every list satisfies. */
const ANY_REVISION = 0n;

export class SnapshotWatches {
  readonly #source: ListSource;
  readonly #watches = new Map<SnapshotSink, Watch>();
  readonly #byService = new Map<string, Set<SnapshotSink>>();
  /** Services whose lists have changed and were not offered since. */
  readonly #changedServices = new Set<string>();
  #offerTimer: NodeJS.Timeout | undefined;
  /** The earliest time of the next list of changes, as a time of performance.now(). */
  #nextOfferAt = 0;

  constructor(source: ListSource) {
    this.#source = source;
  }

  get isEmpty(): boolean {
    return this.#watches.size === 0;
  }

  isWatched(service: string): boolean {
    return this.#byService.has(service);
  }

  add(sink: SnapshotSink, query: ServiceQuery): void {
    this.#watches.set(sink, { query, minRevision: undefined, hasList: false });
    this.#byService.set(query.service, (this.#byService.get(query.service) ?? new Set()).add(sink));
  }

  remove(sink: SnapshotSink, service: string): void {
    this.#watches.delete(sink);
    const sinks = this.#byService.get(service);
    sinks?.delete(sink);
    if (sinks?.size === 0) this.#byService.delete(service);
  }

  /** Ends every watch. */
  end(): void {
    for (const sink of [...this.#watches.keys()]) sink.end();
  }

  cancelTimer(): void {
    clearTimeout(this.#offerTimer);
    this.#offerTimer = undefined;
  }

  /** Fails the watches that have not received a list yet. */
  failWithoutList(errorOf: (query: ServiceQuery) => Error): void {
    for (const [sink, { query, hasList }] of [...this.#watches])
      if (!hasList) sink.fail(errorOf(query));
  }

  // ---- first lists ----

  /** Whether a watch waits for its first list. */
  get isFirstListPending(): boolean {
    return [...this.#watches.values()].some(({ hasList }) => !hasList);
  }

  /** Must be called before everything is read. The new lists include all earlier changes. */
  beforeFullRead(): void {
    for (const watch of this.#watches.values()) watch.minRevision = ANY_REVISION;
  }

  /** The watches whose minRevision is not known yet. The caller sets it. */
  watchesWithoutRevision(): readonly Watch[] {
    return [...this.#watches.values()].filter(({ minRevision }) => minRevision === undefined);
  }

  /** Offers the first lists whose revision is reached. */
  offerFirst(): void {
    if (this.#source.isChanging) return;
    for (const [sink, { hasList, minRevision }] of [...this.#watches])
      if (!hasList && minRevision !== undefined) this.offer(sink);
  }

  // ---- all lists ----

  /**
   * Offers every watch its list now, and cancels the pending lists of changes, because these lists
   * include them.
   */
  offerAll(): void {
    this.#changedServices.clear();
    for (const sink of [...this.#watches.keys()]) this.offer(sink);
  }

  /** Offers the lists of these services, perhaps later, together with further changes. */
  offerChanged(services: ReadonlySet<string>): void {
    for (const service of services)
      if (this.#byService.has(service)) this.#changedServices.add(service);
    if (this.#changedServices.size === 0 || this.#offerTimer !== undefined) return;
    const delay = this.#nextOfferAt - performance.now();
    if (delay <= 0) this.#offerChangedNow();
    else this.#offerTimer = startTimer(() => this.#offerChangedNow(), delay).unref();
  }

  #offerChangedNow(): void {
    this.#offerTimer = undefined;
    // The end of the change calls offerChanged().
    if (this.#source.isChanging) return;
    let nodes = 0;
    for (const service of this.#changedServices) {
      for (const sink of [...(this.#byService.get(service) ?? [])]) nodes += this.offer(sink);
    }
    this.#changedServices.clear();
    this.#nextOfferAt = performance.now() + Math.min(MAX_OFFER_DELAY, nodes / NODES_PER_MS);
  }

  /** Returns the number of nodes of the list; 0 if the watch must wait for its first list. */
  offer(sink: SnapshotSink): number {
    const watch = this.#watches.get(sink);
    const { revision, hadOutage } = this.#source;
    if (watch === undefined || revision === 0n) return 0;
    const { hasList, minRevision } = watch;
    if (!hasList && !hadOutage && (minRevision === undefined || revision < minRevision)) return 0;
    watch.hasList = true;
    const nodes = this.#source.list(watch.query);
    sink.offer(nodes);
    return nodes.length;
  }
}
