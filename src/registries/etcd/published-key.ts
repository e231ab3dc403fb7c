/** One entry that this process publishes: the wanted value, and the known state of its key. */
import type { Logger } from '../../core/logger.js';
import { ProblemLog } from '../shared/problem-log.js';
import type { Registration } from '../shared/registration.js';
import type { KeyValue } from './proto/kv_pb.js';

/**
 * `unwritten`: must be written over whatever the key holds, because an earlier process with the
 * same node id wrote it. `unverified`: must be read, and written again if it is missing.
 * `published`: as this process wrote it. `takenOver`: another process has written it since, so it
 * is left alone.
 */
export type KeyState = 'unwritten' | 'unverified' | 'published' | 'takenOver';

export interface PublishWaiter {
  resolve(): void;
  reject(error: unknown): void;
}

export class PublishedKey {
  readonly path: string;
  readonly key: Uint8Array;
  /** undefined: the entry must be deleted. */
  value: string | undefined;
  registration: Registration | undefined;
  state: KeyState = 'unwritten';
  /** The revision of this process's last write. */
  revision = 0n;
  /** The revision at which the key was last read or written. The watch begins after it. */
  seenRevision = 0n;
  isWatched = false;
  /** The key of the stand-in entry, which may exist; see shared/go-consumers.ts. */
  standIn: Uint8Array | undefined;
  /** The server has refused the first write, so there is nothing to delete. */
  isFirstWriteRefused = false;
  readonly problems: ProblemLog;
  /** Settled when the entry is written, or when the server refuses the write. */
  readonly publishWaiters = new Set<PublishWaiter>();
  /** Called when the key is deleted, or when the server refuses that. */
  readonly withdrawWaiters = new Set<() => void>();

  constructor(path: string, logger: Logger) {
    this.path = path;
    this.key = Buffer.from(path);
    this.problems = new ProblemLog(path, logger);
  }

  /** Requests that KeyWriter writes the value. */
  publish(value: string, registration: Registration): void {
    this.value = value;
    this.registration = registration;
    this.state = 'unwritten';
  }

  /** Requests that KeyWriter deletes the key. */
  withdraw(): void {
    this.value = undefined;
    this.registration = undefined;
  }

  /**
   * Whether this process wrote `kv`: at the revision of its last write, or under one of its leases
   * if the answer to the write was lost.
   */
  isOwnWrite(kv: KeyValue, ownLeases: ReadonlySet<bigint>): boolean {
    return kv.modRevision === this.revision || ownLeases.has(kv.lease);
  }

  onWritten(revision: bigint): void {
    this.state = 'published';
    this.problems.reset();
    this.isFirstWriteRefused = false;
    this.revision = revision;
    this.seenRevision = revision;
    this.registration?.report(true);
  }

  settlePublish(settle: (waiter: PublishWaiter) => void): void {
    for (const waiter of [...this.publishWaiters]) settle(waiter);
    this.publishWaiters.clear();
  }

  settleWithdraw(): void {
    for (const resolve of [...this.withdrawWaiters]) resolve();
    this.withdrawWaiters.clear();
  }
}
