/**
 * Finds out which revision the first list of a new watch needs, and when the stream of changes has
 * reached it.
 */
import { startTimer } from '../../core/timers.js';
import type { EtcdClient } from './client/etcd-client.js';
import type { WatchStream } from './client/watch-stream.js';
import type { WatchResponse } from './proto/rpc_pb.js';
import type { SnapshotWatches } from './snapshot-watches.js';

export interface ChangeStream {
  /** The open stream. undefined: none. */
  readonly stream: WatchStream<unknown> | undefined;
  /** Called when the stream has reached the revision. */
  advanceTo(revision: bigint | undefined): void;
}

/** Milliseconds between two progress requests on the stream. */
const PROGRESS_INTERVAL = 200;
/** Milliseconds, at most, until a refused request for the revision is made again. */
const RETRY_DELAY = 1_000;
/**
 * Before etcd 3.4.25 and 3.5.8 a progress answer may overtake earlier events. The answer to a
 * second request cannot.
 */
const PROGRESS_ANSWERS = 2;

export class RevisionTracker {
  readonly #client: EtcdClient;
  readonly #key: Uint8Array;
  readonly #watches: SnapshotWatches;
  readonly #changes: ChangeStream;
  #isReading = false;
  #progressTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #progressAnswers = 0;

  constructor(client: EtcdClient, prefix: string, watches: SnapshotWatches, changes: ChangeStream) {
    this.#client = client;
    this.#key = Buffer.from(prefix);
    this.#watches = watches;
    this.#changes = changes;
  }

  stop(): void {
    clearTimeout(this.#progressTimer);
    this.#progressTimer = undefined;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
  }

  /**
   * Reads etcd's revision, which the first lists of new watches need. One request serves all
   * watches that began before it.
   */
  async readRevision(): Promise<void> {
    const { stream } = this.#changes;
    if (this.#isReading || stream === undefined) return;
    this.#isReading = true;
    try {
      for (;;) {
        const watches = this.#watches.watchesWithoutRevision();
        if (watches.length === 0 || this.#changes.stream !== stream) return;
        const { connection } = stream;
        const { header } = await this.#client.call(connection, (options) =>
          connection.kv.range({ key: this.#key }, options),
        );
        for (const watch of watches) watch.minRevision ??= header?.revision ?? 0n;
        this.#watches.offerFirst();
        this.#requestProgress();
      }
    } catch {
      // The stream ends with the connection. Then everything is read again.
      if (this.#changes.stream === stream) this.#retryLater();
    } finally {
      this.#isReading = false;
    }
    // The next stream may have begun meanwhile.
    if (this.#changes.stream !== stream) void this.readRevision();
  }

  /** etcd may refuse a request, such as when it has too many, and keep the connection. */
  #retryLater(): void {
    this.#retryTimer ??= startTimer(
      () => {
        this.#retryTimer = undefined;
        void this.readRevision();
      },
      RETRY_DELAY * (0.5 + Math.random() / 2),
    ).unref();
  }

  /**
   * The stream reports changes below the root only. So its revision is requested until all first
   * lists are offered.
   */
  #requestProgress(): void {
    if (this.#progressTimer !== undefined || !this.#watches.isFirstListPending) return;
    this.#progressAnswers = 0;
    this.#changes.stream?.requestProgress();
    this.#progressTimer = startTimer(() => {
      this.#progressTimer = undefined;
      this.#requestProgress();
    }, PROGRESS_INTERVAL).unref();
  }

  onProgress({ header }: WatchResponse): void {
    this.#progressAnswers++;
    if (this.#progressAnswers < PROGRESS_ANSWERS) {
      this.#changes.stream?.requestProgress();
      return;
    }
    this.#changes.advanceTo(header?.revision);
    this.#watches.offerFirst();
  }
}
