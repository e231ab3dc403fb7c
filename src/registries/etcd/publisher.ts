/**
 * Keeps the entries of this process in etcd, under one lease. One loop does all there is to do, in
 * rounds: connection, lease, entries; whatever happens marks entries and wakes it, so there is one
 * place where anything is written.
 */
import { gettyError } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { atMost, pause, within } from '../../core/timers.js';
import { GO_PAUSE, standIn } from '../shared/go-consumers.js';
import { Backoff, type BackoffOptions, Nap } from './backoff.js';
import type { Connection } from './connection.js';
import { EntryRequests, LOOK } from './entry-requests.js';
import { isLeaseLost, isRefusal, isTokenRefused, reasonOf, registryFailed } from './failure.js';
import { OwnLease } from './lease.js';
import type { Link } from './link.js';
import { Event_EventType, type KeyValue } from './proto/kv_pb.js';
import type { WatchResponse } from './proto/rpc_pb.js';
import { type Claim, type Owner, Publication } from './publication.js';
import { WatchStream } from './watch-stream.js';

export interface PublisherOptions extends BackoffOptions {
  /** Milliseconds. */
  readonly ttl: number;
  readonly requestTimeout: number;
  readonly waitForRegistry: boolean;
  /** An entry is never replaced in one step. */
  readonly goConsumers: boolean;
  readonly logger: Logger;
}

/** Requests under way at once. */
const CONCURRENCY = 16;
/** Milliseconds; the providers that lost their leases at one moment come back spread over it. */
const LOST_LEASE_SPREAD = 500;
/**
 * A watch that lasted for less, in ms, does not end a series of failures: a server that ends every
 * watch makes no hot loop.
 */
const SHORTEST_LIFE = 2_000;

export class Publisher {
  readonly #link: Link;
  readonly #options: PublisherOptions;
  /** By path. */
  readonly #publications = new Map<string, Publication>();
  readonly #nap = new Nap();
  readonly #backoff: Backoff;
  #running: Promise<void> | undefined;
  #closed = false;
  readonly #lease: OwnLease;
  #watch: WatchStream<Publication> | undefined;
  #watchBegan = 0;
  /** Why the watch has ended. */
  #watchFailure: { readonly error: unknown } | undefined;

  constructor(link: Link, options: PublisherOptions) {
    this.#link = link;
    this.#options = options;
    this.#backoff = new Backoff(options);
    this.#lease = new OwnLease(options.ttl);
  }

  /**
   * Resolves when it is there, or, if one is to wait for the registry, when it is known to be away.
   * Rejects with REGISTRY_FAILED.
   */
  async publish(path: string, value: string, claim: Claim): Promise<void> {
    const publication = this.#publications.get(path) ?? new Publication(path);
    this.#publications.set(path, publication);
    publication.want(value, claim);
    const done = new Promise<void>((resolve, reject) =>
      publication.waiters.add({ resolve, reject }),
    );
    this.#wake();
    const { requestTimeout, waitForRegistry } = this.#options;
    const late = gettyError(
      'REGISTRY_FAILED',
      `etcd: ${this.#link.name} did not answer within ${requestTimeout} ms`,
    );
    try {
      await within(requestTimeout, done, () => late);
    } catch (error) {
      if (waitForRegistry && !isRefusal(error) && !this.#closed) {
        this.#link.tell(error);
        if (publication.owner === claim.owner && publication.state !== 'there')
          publication.tellPublished(false);
        return;
      }
      if (publication.owner === claim.owner) publication.withdraw();
      this.#wake();
      throw error === late
        ? late
        : registryFailed(this.#link.name, `cannot publish ${path}`, error);
    }
  }

  /**
   * Remove the entry, if it is still this owner's. Does not reject: what cannot be deleted now is
   * deleted later, or expires with the lease.
   */
  async withdraw(path: string, owner: Owner): Promise<void> {
    const publication = this.#publications.get(path);
    if (publication === undefined || publication.owner !== owner || this.#closed) return;
    publication.withdraw();
    const done = new Promise<void>((resolve) => publication.withdrawals.add(resolve));
    this.#wake();
    await atMost(this.#options.requestTimeout, done);
  }

  /**
   * Revoke the lease, with which all entries vanish at once. Takes at most the time of a request.
   */
  async close(): Promise<void> {
    this.#closed = true;
    this.#nap.wake();
    for (const publication of this.#publications.values()) {
      publication.settle(({ reject }) => reject(new Error('the registry is closed')));
      publication.settleWithdrawals();
    }
    this.#publications.clear();
    await atMost(this.#options.requestTimeout, this.#leave());
    this.#watch?.end();
  }

  /** Settles when the loop has ended; it does soon after the link was closed. */
  async ended(): Promise<void> {
    await this.#running;
  }

  async #leave(): Promise<void> {
    // A grant may be under way, which is to be revoked too.
    await this.#running;
    await this.#revoke();
  }

  async #revoke(): Promise<void> {
    const { id, ttl } = this.#lease;
    if (id === undefined) return;
    this.#lease.forget();
    try {
      await new EntryRequests(this.#link, await this.#link.connection()).revoke(id);
    } catch (error) {
      if (isLeaseLost(error)) return;
      this.#options.logger.warn(
        { error },
        `registry: the lease could not be revoked, its entries expire after ${ttl} ms: ${reasonOf(error)}`,
      );
    }
  }

  #wake(): void {
    this.#nap.wake();
    if (this.#closed) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // Somebody came as it ended.
      if (this.#publications.size > 0) this.#wake();
    });
  }

  async #run(): Promise<void> {
    while (!this.#closed && this.#publications.size > 0) {
      try {
        await this.#round();
        if (!this.#closed) await this.#nap.sleep(this.#lease.pause);
      } catch (error) {
        if (this.#closed) break;
        if (isLeaseLost(error)) await this.#loseLease();
        else if (isTokenRefused(error)) await this.#nap.sleep(this.#backoff.next());
        else await this.#nap.sleep(this.#failed(error));
      }
    }
    this.#watch?.end();
    // Nothing is published any more; close() does it by itself.
    if (!this.#closed) await this.#revoke();
  }

  /** How long to rest. */
  #failed(error: unknown): number {
    this.#link.tell(error);
    // While there are members that were not tried, whoever publishes is not told.
    if (!this.#link.exhausted && !isRefusal(error)) return this.#backoff.next();
    for (const publication of this.#publications.values()) {
      publication.settle(({ reject }) => reject(error));
      publication.settleWithdrawals();
    }
    return this.#backoff.next();
  }

  async #loseLease(): Promise<void> {
    this.#options.logger.warn(
      { endpoints: this.#link.name },
      'registry: the lease is lost, the entries are published again under a new one',
    );
    this.#lease.forget();
    for (const publication of this.#publications.values()) {
      if (publication.state === 'there') publication.state = 'suspect';
      publication.tellPublished(false);
    }
    const end = performance.now() + Math.random() * LOST_LEASE_SPREAD;
    while (!this.#closed && performance.now() < end) await this.#nap.sleep(end - performance.now());
  }

  async #round(): Promise<void> {
    const failure = this.#watchFailure;
    this.#watchFailure = undefined;
    if (failure !== undefined) throw failure.error;
    const connection = await this.#link.connection();
    if (this.#watch === undefined || this.#watch.ended || this.#watch.connection !== connection)
      this.#watchOn(connection);
    const requests = new EntryRequests(this.#link, connection);
    while (!this.#closed && !(await this.#lease.keep(requests))) await this.#loseLease();
    if (this.#closed) return;
    const all = [...this.#publications.values()];
    await this.#each(
      all.filter(({ value }) => value === undefined),
      (publication) => this.#remove(publication, requests),
    );
    await this.#look(
      all.filter(({ value, state }) => value !== undefined && state === 'suspect'),
      requests,
    );
    await this.#forceAll(
      all.filter(({ value, state }) => value !== undefined && state === 'forced'),
      requests,
    );
    for (const publication of all) this.#watchOne(publication);
    if (performance.now() - this.#watchBegan > SHORTEST_LIFE) this.#backoff.reset();
  }

  /** A few at a time. What is refused concerns that entry alone; any other error ends the round. */
  async #each(
    publications: readonly Publication[],
    act: (publication: Publication) => Promise<void>,
  ): Promise<void> {
    const rest = publications[Symbol.iterator]();
    const work = async (): Promise<void> => {
      for (const publication of rest) {
        try {
          await act(publication);
        } catch (error) {
          if (!isRefusal(error)) throw error;
          this.#refused(publication, error);
        }
      }
    };
    const outcomes = await Promise.allSettled(
      Array.from({ length: Math.min(CONCURRENCY, publications.length) }, work),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  #refused(publication: Publication, error: unknown): void {
    publication.refused = publication.revision === 0n;
    publication.settle(({ reject }) => reject(error));
    publication.settleWithdrawals();
    this.#say(publication, `the entry is refused, trying again: ${reasonOf(error)}`, error);
  }

  /** Write them, over whatever is there. */
  async #forceAll(publications: readonly Publication[], requests: EntryRequests): Promise<void> {
    const standIns = this.#options.goConsumers ? await this.#makeRoom(publications, requests) : [];
    await this.#each(publications, (publication) => this.#force(publication, requests));
    for (const other of standIns) await requests.delete(other);
  }

  /**
   * Delete the entries that are about to be written over, as Go consumers need it. Another entry of
   * each node stands meanwhile, and goes with the lease at the latest. Returns those.
   */
  async #makeRoom(
    publications: readonly Publication[],
    requests: EntryRequests,
  ): Promise<readonly { readonly key: Uint8Array }[]> {
    const taken: Publication[] = [];
    for (let at = 0; at < publications.length; at += LOOK) {
      const some = publications.slice(at, at + LOOK);
      const { found } = await requests.look(some);
      taken.push(...some.filter((_, i) => found[i] !== undefined));
    }
    if (taken.length === 0) return [];
    const standIns = new Map<Publication, { readonly key: Uint8Array; readonly value: string }>();
    for (const publication of taken) {
      if (publication.value === undefined) continue;
      const { path, value } = standIn(publication.path, publication.value);
      standIns.set(publication, { key: Buffer.from(path), value });
    }
    for (const other of standIns.values()) await requests.put(other, this.#lease.id as bigint);
    await this.#each([...standIns.keys()], (publication) => requests.delete(publication));
    await pause(GO_PAUSE, undefined, true);
    return [...standIns.values()];
  }

  async #force(publication: Publication, requests: EntryRequests): Promise<void> {
    const { value, owner } = publication;
    const revision = await requests.put(publication, this.#lease.id as bigint);
    // Something else may be wanted by now.
    if (publication.value !== value || publication.owner !== owner) {
      this.#nap.wake();
      return;
    }
    this.#written(publication, revision);
    publication.settle(({ resolve }) => resolve());
  }

  #written(publication: Publication, revision: bigint): void {
    publication.state = 'there';
    publication.trouble = '';
    publication.refused = false;
    publication.revision = revision;
    publication.seen = revision;
    publication.tellPublished(true);
  }

  async #remove(publication: Publication, requests: EntryRequests): Promise<void> {
    if (!publication.refused) await requests.deleteIf(publication, this.#lease.id as bigint);
    publication.settleWithdrawals();
    // It may have been published anew meanwhile, which is done next.
    if (publication.value !== undefined) {
      this.#nap.wake();
      return;
    }
    this.#publications.delete(publication.path);
    this.#watch?.remove(publication);
  }

  /** Look at what may have been lost, and write what was. */
  async #look(publications: readonly Publication[], requests: EntryRequests): Promise<void> {
    for (let at = 0; at < publications.length; at += LOOK) {
      const some = publications.slice(at, at + LOOK);
      const { found, revision } = await requests.look(some);
      const now = new Map(some.map((publication, i) => [publication, found[i]]));
      await this.#each(some, (publication) =>
        this.#mend(publication, now.get(publication), revision, requests),
      );
    }
  }

  async #mend(
    publication: Publication,
    kv: KeyValue | undefined,
    revision: bigint,
    requests: EntryRequests,
  ): Promise<void> {
    if (publication.state !== 'suspect' || publication.value === undefined) return;
    const lease = this.#lease.id as bigint;
    publication.seen = revision;
    if (kv?.lease === lease && kv.modRevision === publication.revision) {
      publication.state = 'there';
      publication.trouble = '';
      publication.tellPublished(true);
      return;
    }
    if (kv !== undefined && !publication.isOurs(kv, this.#lease.known)) {
      publication.state = 'taken';
      publication.tellPublished(false);
      this.#say(
        publication,
        'somebody else has written this entry; it is left alone until it vanishes',
      );
      return;
    }
    // An entry of ours under an earlier lease: it is written over.
    if (kv !== undefined && this.#options.goConsumers) {
      publication.state = 'forced';
      this.#nap.wake();
      return;
    }
    const written = await requests.putIf(publication, lease, kv?.modRevision ?? 0n);
    // It changed since; the watch or the next round looks again.
    if (written === undefined) {
      this.#nap.wake();
      return;
    }
    this.#written(publication, written);
    this.#options.logger.info({ path: publication.path }, 'registry: published the entry again');
  }

  #say(publication: Publication, message: string, error?: unknown): void {
    if (publication.trouble === message) return;
    publication.trouble = message;
    this.#options.logger.warn({ path: publication.path, error }, `registry: ${message}`);
  }

  /**
   * Watch our own entries on a connection: somebody may delete them, or write over them. What was
   * missed until then is looked for.
   */
  #watchOn(connection: Connection): void {
    this.#watch?.end();
    const watch = new WatchStream<Publication>(connection);
    this.#watch = watch;
    this.#watchBegan = performance.now();
    for (const publication of this.#publications.values()) {
      publication.watched = false;
      if (publication.state === 'there' || publication.state === 'taken')
        publication.state = 'suspect';
    }
    const over = watch.run(
      (publication, answer) => this.#onAnswer(publication, answer),
      (publication) => this.#suspect(publication, false),
    );
    over.then(
      () => {},
      (error) => {
        this.#link.failed(connection, error);
        if (this.#watch !== watch || this.#closed) return;
        this.#watchFailure = { error };
        this.#nap.wake();
      },
    );
  }

  #watchOne(publication: Publication): void {
    if (
      publication.watched ||
      publication.value === undefined ||
      publication.seen === 0n ||
      this.#watch === undefined
    )
      return;
    publication.watched = true;
    this.#watch.add(publication, { key: publication.key, startRevision: publication.seen + 1n });
  }

  #onAnswer(publication: Publication, { events }: WatchResponse): void {
    for (const { type, kv } of events) {
      const isOurs =
        type === Event_EventType.PUT && kv !== undefined && kv.lease === this.#lease.id;
      if (!isOurs) this.#suspect(publication, true);
    }
  }

  #suspect(publication: Publication, watched: boolean): void {
    publication.watched &&= watched;
    // One that is to be written anyhow stays so.
    if (publication.state !== 'forced') publication.state = 'suspect';
    this.#nap.wake();
  }
}
