/**
 * Keeps the entries of this process in etcd, under one lease. One loop makes rounds of connection,
 * lease and keys. Every event only marks keys and wakes the loop, so all writes are in one place.
 */
import { gettyError } from '../../core/errors.js';
import { atMost, within } from '../../core/timers.js';
import { Backoff, type BackoffOptions } from '../shared/backoff.js';
import { InterruptibleSleep } from '../shared/interruptible-sleep.js';
import type { Registration } from '../shared/registration.js';
import {
  describeError,
  isLeaseLost,
  isRefusal,
  isTokenRefused,
  registryFailed,
} from './client/errors.js';
import type { EtcdClient } from './client/etcd-client.js';
import type { MemberConnection } from './client/member-connection.js';
import { EntryRequests } from './entry-requests.js';
import { KeyWatch } from './key-watch.js';
import { KeyWriter, type KeyWriterOptions } from './key-writer.js';
import { EntryLease } from './lease.js';
import { PublishedKey } from './published-key.js';

export interface PublisherOptions extends BackoffOptions, KeyWriterOptions {
  /** Milliseconds. */
  readonly ttl: number;
  /** Milliseconds. */
  readonly requestTimeout: number;
  readonly waitForRegistry: boolean;
}

/**
 * The longest random delay before the entries of a lost lease are published again, in milliseconds.
 * It spreads the requests of providers that lose their leases at the same time.
 */
const LOST_LEASE_SPREAD = 500;
/**
 * Milliseconds. A watch that lasted for less does not reset the backoff, so that a server that ends
 * every watch causes no busy loop.
 */
const MIN_WATCH_TIME = 2_000;

export class Publisher {
  readonly #client: EtcdClient;
  readonly #options: PublisherOptions;
  /** The published keys, by path. */
  readonly #keys = new Map<string, PublishedKey>();
  readonly #sleep = new InterruptibleSleep();
  readonly #backoff: Backoff;
  #running: Promise<void> | undefined;
  #isClosed = false;
  readonly #lease: EntryLease;
  #watch: KeyWatch | undefined;
  /** Why the watch has ended; the next round handles it. */
  #watchFailure: { readonly error: unknown } | undefined;

  constructor(client: EtcdClient, options: PublisherOptions) {
    this.#client = client;
    this.#options = options;
    this.#backoff = new Backoff(options);
    this.#lease = new EntryLease(options.ttl);
  }

  /**
   * Resolves when the entry is written; with `waitForRegistry` also when etcd cannot be reached.
   * Rejects with REGISTRY_FAILED.
   */
  async publish(path: string, value: string, registration: Registration): Promise<void> {
    const key = this.#keys.get(path) ?? new PublishedKey(path, this.#options.logger);
    this.#keys.set(path, key);
    key.publish(value, registration);
    const published = new Promise<void>((resolve, reject) =>
      key.publishWaiters.add({ resolve, reject }),
    );
    this.#wake();
    const { requestTimeout, waitForRegistry } = this.#options;
    const timeoutError = gettyError(
      'REGISTRY_FAILED',
      `etcd: ${this.#client.endpoints} did not answer within ${requestTimeout} ms`,
    );
    try {
      await within(requestTimeout, published, () => timeoutError);
    } catch (error) {
      if (waitForRegistry && !isRefusal(error) && !this.#isClosed) {
        this.#client.reportOutage(error);
        if (key.registration === registration && key.state !== 'published')
          registration.report(false);
        return;
      }
      if (key.registration === registration) key.withdraw();
      this.#wake();
      throw error === timeoutError
        ? timeoutError
        : registryFailed(this.#client.endpoints, `cannot publish ${path}`, error);
    }
  }

  /**
   * Deletes the entry if it still belongs to `registration`. Does not reject: an entry that cannot
   * be deleted now is deleted later, or expires with the lease.
   */
  async withdraw(path: string, registration: Registration): Promise<void> {
    const key = this.#keys.get(path);
    if (key === undefined || key.registration !== registration || this.#isClosed) return;
    key.withdraw();
    const withdrawn = new Promise<void>((resolve) => key.withdrawWaiters.add(resolve));
    this.#wake();
    await atMost(this.#options.requestTimeout, withdrawn);
  }

  /** Whether the entry, which was withdrawn, is deleted or published again. */
  isWithdrawn(path: string): boolean {
    const key = this.#keys.get(path);
    return key === undefined || key.value !== undefined;
  }

  /** Revokes the lease, so that all entries are removed at once. Takes at most `requestTimeout`. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#sleep.wake();
    for (const key of this.#keys.values()) {
      key.settlePublish(({ reject }) => reject(new Error('the registry is closed')));
      key.settleWithdraw();
    }
    this.#keys.clear();
    await atMost(this.#options.requestTimeout, this.#finish());
    this.#watch?.end();
  }

  /** Settles when the loop has ended, soon after the client is closed. */
  async untilEnded(): Promise<void> {
    await this.#running;
  }

  async #finish(): Promise<void> {
    // A request for a lease may be in flight. That lease must be revoked too.
    await this.#running;
    await this.#revokeLease();
  }

  async #revokeLease(): Promise<void> {
    const { id, ttl } = this.#lease;
    if (id === undefined) return;
    this.#lease.clear();
    try {
      await new EntryRequests(this.#client, await this.#client.connection()).revoke(id);
    } catch (error) {
      if (isLeaseLost(error)) return;
      this.#options.logger.warn(
        { error },
        `registry: the lease could not be revoked, its entries expire after ${ttl} ms: ${describeError(error)}`,
      );
    }
  }

  #wake(): void {
    this.#sleep.wake();
    if (this.#isClosed) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // publish() may have been called while the loop was ending.
      if (this.#keys.size > 0) this.#wake();
    });
  }

  async #run(): Promise<void> {
    while (!this.#isClosed && this.#keys.size > 0) {
      try {
        await this.#round();
        if (!this.#isClosed) await this.#sleep.sleep(this.#lease.keepAliveDelay);
      } catch (error) {
        if (this.#isClosed) break;
        if (isLeaseLost(error)) await this.#onLeaseLost();
        else {
          // A rejected token is no outage: the requests of the next round get a new one.
          if (!isTokenRefused(error)) this.#onError(error);
          await this.#sleep.sleep(this.#backoff.next());
        }
      }
    }
    this.#watch?.end();
    // close() revokes the lease itself.
    if (!this.#isClosed) await this.#revokeLease();
  }

  #onError(error: unknown): void {
    this.#client.reportOutage(error);
    // publish() and withdraw() wait until every member has failed.
    if (!this.#client.haveAllMembersFailed && !isRefusal(error)) return;
    for (const key of this.#keys.values()) {
      key.settlePublish(({ reject }) => reject(error));
      key.settleWithdraw();
    }
  }

  async #onLeaseLost(): Promise<void> {
    this.#options.logger.warn(
      { endpoints: this.#client.endpoints },
      'registry: the lease is lost, the entries are published again under a new one',
    );
    this.#lease.clear();
    for (const key of this.#keys.values()) {
      if (key.state === 'published') key.state = 'unverified';
      key.registration?.report(false);
    }
    const end = performance.now() + Math.random() * LOST_LEASE_SPREAD;
    while (!this.#isClosed && performance.now() < end)
      await this.#sleep.sleep(end - performance.now());
  }

  async #round(): Promise<void> {
    const failure = this.#watchFailure;
    this.#watchFailure = undefined;
    if (failure !== undefined) throw failure.error;
    const connection = await this.#client.connection();
    const watch = this.#watch?.isOn(connection) ? this.#watch : this.#startWatch(connection);
    const requests = new EntryRequests(this.#client, connection);
    while (!this.#isClosed) {
      const isLeaseHeld = await this.#lease.grantOrKeepAlive(requests);
      if (isLeaseHeld) break;
      await this.#onLeaseLost();
    }
    if (this.#isClosed) return;
    const keys = [...this.#keys.values()];
    await new KeyWriter(requests, this.#lease, this.#options, {
      onUnfinished: () => this.#sleep.wake(),
      onDeleted: (key) => {
        this.#keys.delete(key.path);
        watch.remove(key);
      },
    }).run(keys);
    for (const key of keys) watch.add(key);
    if (performance.now() - watch.startedAt > MIN_WATCH_TIME) this.#backoff.reset();
  }

  /**
   * Starts a watch, and marks all published keys as unverified, because the watch reports no
   * earlier changes.
   */
  #startWatch(connection: MemberConnection): KeyWatch {
    this.#watch?.end();
    for (const key of this.#keys.values()) {
      key.isWatched = false;
      if (key.state === 'published' || key.state === 'takenOver') key.state = 'unverified';
    }
    const watch = new KeyWatch(connection, (lease) => lease === this.#lease.id, {
      onUnverified: () => this.#sleep.wake(),
      onError: (error) => {
        this.#client.onError(connection, error);
        if (this.#watch !== watch || this.#isClosed) return;
        this.#watchFailure = { error };
        this.#sleep.wake();
      },
    });
    this.#watch = watch;
    return watch;
  }
}
