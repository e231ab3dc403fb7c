/** Watches the published keys: a change by another process marks a key as unverified. */
import type { MemberConnection } from './client/member-connection.js';
import { WatchStream } from './client/watch-stream.js';
import { Event_EventType } from './proto/kv_pb.js';
import type { WatchResponse } from './proto/rpc_pb.js';
import type { PublishedKey } from './published-key.js';

export interface KeyWatchEvents {
  /** Called when a key was marked as unverified. */
  onUnverified(): void;
  /** Called when the stream has failed. */
  onError(error: unknown): void;
}

export class KeyWatch {
  readonly #stream: WatchStream<PublishedKey>;
  readonly #isOwnLease: (lease: bigint) => boolean;
  readonly #events: KeyWatchEvents;
  /** A time of performance.now(). */
  readonly startedAt = performance.now();

  /** `isOwnLease`: whether an event of a lease is a write of this process. */
  constructor(
    connection: MemberConnection,
    isOwnLease: (lease: bigint) => boolean,
    events: KeyWatchEvents,
  ) {
    this.#stream = new WatchStream(connection);
    this.#isOwnLease = isOwnLease;
    this.#events = events;
    this.#stream
      .run(
        (key, answer) => this.#onAnswer(key, answer),
        (key) => {
          key.isWatched = false;
          this.#markUnverified(key);
        },
      )
      .catch((error) => this.#events.onError(error));
  }

  /** Whether the stream runs on this connection. */
  isOn(connection: MemberConnection): boolean {
    return !this.#stream.hasEnded && this.#stream.connection === connection;
  }

  /** Watches a key from the revision at which it was last seen. */
  add(key: PublishedKey): void {
    if (key.isWatched || key.value === undefined || key.seenRevision === 0n) return;
    key.isWatched = true;
    this.#stream.add(key, { key: key.key, startRevision: key.seenRevision + 1n });
  }

  remove(key: PublishedKey): void {
    this.#stream.remove(key);
  }

  end(): void {
    this.#stream.end();
  }

  #onAnswer(key: PublishedKey, { events }: WatchResponse): void {
    for (const { type, kv } of events) {
      const isOwnWrite =
        type === Event_EventType.PUT && kv !== undefined && this.#isOwnLease(kv.lease);
      if (!isOwnWrite) this.#markUnverified(key);
    }
  }

  #markUnverified(key: PublishedKey): void {
    // An unwritten key is written in any case.
    if (key.state !== 'unwritten') key.state = 'unverified';
    this.#events.onUnverified();
  }
}
