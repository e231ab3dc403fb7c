/**
 * One round of a publisher: deletes, verifies and writes each key at most once. A key that needs
 * more asks for another round.
 */
import type { Logger } from '../../core/logger.js';
import { pause } from '../../core/timers.js';
import { GO_CONSUMER_PAUSE, standInEntry } from '../shared/go-consumers.js';
import { TAKEN_OVER } from '../shared/registration.js';
import { describeError, isRefusal } from './client/errors.js';
import { type EntryRequests, MAX_FIND } from './entry-requests.js';
import type { EntryLease } from './lease.js';
import type { KeyValue } from './proto/kv_pb.js';
import type { PublishedKey } from './published-key.js';

export interface KeyWriterOptions {
  /**
   * Whether there may be Go consumers: entries are replaced as shared/go-consumers.ts describes.
   */
  readonly goConsumers: boolean;
  readonly logger: Logger;
}

export interface KeyWriterEvents {
  /** Called when a key needs another round. */
  onUnfinished(): void;
  /** Called when a key was deleted and was not published again. */
  onDeleted(key: PublishedKey): void;
}

/** The number of requests in flight at once. */
const CONCURRENCY = 16;

export class KeyWriter {
  readonly #requests: EntryRequests;
  readonly #lease: EntryLease;
  readonly #options: KeyWriterOptions;
  readonly #events: KeyWriterEvents;

  constructor(
    requests: EntryRequests,
    lease: EntryLease,
    options: KeyWriterOptions,
    events: KeyWriterEvents,
  ) {
    this.#requests = requests;
    this.#lease = lease;
    this.#options = options;
    this.#events = events;
  }

  /**
   * Runs the round. A refusal of a key is logged, and the round continues. Any other error ends the
   * round: rejects with that ConnectError.
   */
  async run(keys: readonly PublishedKey[]): Promise<void> {
    await this.#forEach(
      keys.filter(({ value }) => value === undefined),
      (key) => this.#delete(key),
    );
    await this.#verifyAll(
      keys.filter(({ value, state }) => value !== undefined && state === 'unverified'),
    );
    await this.#writeAll(
      keys.filter(({ value, state }) => value !== undefined && state === 'unwritten'),
    );
    await this.#forEach(
      keys.filter(({ state }) => state === 'published' || state === 'takenOver'),
      (key) => this.#deleteStandIn(key),
    );
  }

  /** A stand-in of a round before, too, whose connection was lost. */
  async #deleteStandIn(published: PublishedKey): Promise<void> {
    const { standIn: key } = published;
    if (key === undefined) return;
    await this.#requests.delete({ key });
    published.standIn = undefined;
  }

  get #leaseId(): bigint {
    return this.#lease.id as bigint;
  }

  /** Calls `action` for CONCURRENCY keys at a time. */
  async #forEach(
    keys: readonly PublishedKey[],
    action: (key: PublishedKey) => Promise<void>,
  ): Promise<void> {
    const rest = keys[Symbol.iterator]();
    const work = async (): Promise<void> => {
      for (const key of rest) {
        try {
          await action(key);
        } catch (error) {
          if (!isRefusal(error)) throw error;
          this.#onRefused(key, error);
        }
      }
    };
    const outcomes = await Promise.allSettled(
      Array.from({ length: Math.min(CONCURRENCY, keys.length) }, work),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  #onRefused(key: PublishedKey, error: unknown): void {
    // 0n: the key was never written.
    key.isFirstWriteRefused = key.revision === 0n;
    key.settlePublish(({ reject }) => reject(error));
    key.settleWithdraw();
    key.problems.logOnce(`the entry is refused, trying again: ${describeError(error)}`, error);
  }

  async #delete(key: PublishedKey): Promise<void> {
    await this.#deleteStandIn(key);
    if (!key.isFirstWriteRefused) await this.#requests.deleteIfLeased(key, this.#leaseId);
    key.settleWithdraw();
    // The key may have been published again meanwhile.
    if (key.value !== undefined) this.#events.onUnfinished();
    else this.#events.onDeleted(key);
  }

  /** Writes the keys without a check of their values in etcd. */
  async #writeAll(keys: readonly PublishedKey[]): Promise<void> {
    if (this.#options.goConsumers) await this.#deleteForGoConsumers(keys);
    await this.#forEach(keys, (key) => this.#write(key));
  }

  /**
   * Deletes the existing keys before they are written, because a Go consumer counts a second write
   * of a key as one more node; see shared/go-consumers.ts. The stand-in entries stay until
   * #deleteStandIn().
   */
  async #deleteForGoConsumers(keys: readonly PublishedKey[]): Promise<void> {
    const existing: PublishedKey[] = [];
    for (let at = 0; at < keys.length; at += MAX_FIND) {
      const batch = keys.slice(at, at + MAX_FIND);
      const { found } = await this.#requests.findAll(batch);
      existing.push(...batch.filter((_, i) => found[i] !== undefined));
    }
    const replaced: PublishedKey[] = [];
    for (const published of existing) {
      if (published.value === undefined) continue;
      const { path, value } = standInEntry(published.path, published.value);
      const key = Buffer.from(path);
      published.standIn = key;
      await this.#requests.put({ key, value }, this.#leaseId);
      replaced.push(published);
    }
    if (replaced.length === 0) return;
    await this.#forEach(replaced, (key) => this.#requests.delete(key));
    await pause(GO_CONSUMER_PAUSE, undefined, true);
  }

  async #write(key: PublishedKey): Promise<void> {
    const { value, registration } = key;
    const revision = await this.#requests.put(key, this.#leaseId);
    // The key may have been published again or withdrawn meanwhile.
    if (key.value !== value || key.registration !== registration) {
      this.#events.onUnfinished();
      return;
    }
    key.onWritten(revision);
    key.settlePublish(({ resolve }) => resolve());
  }

  /** Reads the keys, and writes the missing ones again. */
  async #verifyAll(keys: readonly PublishedKey[]): Promise<void> {
    for (let at = 0; at < keys.length; at += MAX_FIND) {
      const batch = keys.slice(at, at + MAX_FIND);
      const { found, revision } = await this.#requests.findAll(batch);
      const present = new Map(batch.map((key, i) => [key, found[i]]));
      await this.#forEach(batch, (key) => this.#verify(key, present.get(key), revision));
    }
  }

  async #verify(key: PublishedKey, kv: KeyValue | undefined, revision: bigint): Promise<void> {
    if (key.state !== 'unverified' || key.value === undefined) return;
    const lease = this.#leaseId;
    key.seenRevision = revision;
    if (kv?.lease === lease && kv.modRevision === key.revision) {
      key.state = 'published';
      key.problems.reset();
      key.registration?.report(true);
      return;
    }
    if (kv !== undefined && !key.isOwnWrite(kv, this.#lease.ownLeases)) {
      key.state = 'takenOver';
      key.registration?.report(false);
      key.problems.logOnce(TAKEN_OVER);
      return;
    }
    // An entry of this process under an earlier lease is replaced.
    if (kv !== undefined && this.#options.goConsumers) {
      key.state = 'unwritten';
      this.#events.onUnfinished();
      return;
    }
    const written = await this.#requests.putIfUnchanged(key, lease, kv?.modRevision ?? 0n);
    // The key has changed since it was read.
    if (written === undefined) {
      this.#events.onUnfinished();
      return;
    }
    key.onWritten(written);
    this.#options.logger.info({ path: key.path }, 'registry: published the entry again');
  }
}
