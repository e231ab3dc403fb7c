/** One entry that this process publishes: what is wanted, and what is known of what is there. */
import type { PublicationListener } from '../../micro/types.js';
import type { KeyValue } from './proto/kv_pb.js';

/**
 * Who published a value: the registration that made it, so that an older one does not withdraw it.
 */
export type Owner = object;

/** The registration that wants a value to be there. */
export interface Claim {
  readonly owner: Owner;
  readonly onPublished: PublicationListener | undefined;
}

/**
 * `forced`: to be written over whatever is there, which is an older life of the same node.
 * `suspect`: to be looked at, and written again if it is missing. `there`: as we wrote it. `taken`:
 * another process has published this node since; it is left alone.
 */
export type State = 'forced' | 'suspect' | 'there' | 'taken';

export interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

export class Publication {
  readonly path: string;
  readonly key: Uint8Array;
  /** undefined: it is to be withdrawn. */
  value: string | undefined;
  owner: Owner | undefined;
  #onPublished: PublicationListener | undefined;
  #isPublished: boolean | undefined;
  state: State = 'forced';
  /** The revision at which it was last written by us. */
  revision = 0n;
  /** The revision at which it was last looked at: it is watched from there. */
  seen = 0n;
  watched = false;
  /** The server has refused it, and it was never there. */
  refused = false;
  /** What was last said in the log, so that it is said once. */
  trouble = '';
  readonly waiters = new Set<Waiter>();
  readonly withdrawals = new Set<() => void>();

  constructor(path: string) {
    this.path = path;
    this.key = Buffer.from(path);
  }

  want(value: string, { owner, onPublished }: Claim): void {
    this.value = value;
    this.owner = owner;
    this.#onPublished = onPublished;
    this.#isPublished = undefined;
    this.state = 'forced';
  }

  withdraw(): void {
    this.value = undefined;
    this.owner = undefined;
    this.#onPublished = undefined;
  }

  /** Tell the registration whether its entry is there, when that has changed. */
  tellPublished(isPublished: boolean): void {
    if (this.#isPublished === isPublished) return;
    this.#isPublished = isPublished;
    this.#onPublished?.(isPublished);
  }

  /**
   * Whether what is there is ours: written by us, or under a lease of ours (an answer may have been
   * lost).
   */
  isOurs(kv: KeyValue, leases: ReadonlySet<bigint>): boolean {
    return kv.modRevision === this.revision || leases.has(kv.lease);
  }

  settle(act: (waiter: Waiter) => void): void {
    for (const waiter of [...this.waiters]) act(waiter);
    this.waiters.clear();
  }

  settleWithdrawals(): void {
    for (const done of [...this.withdrawals]) done();
    this.withdrawals.clear();
  }
}
