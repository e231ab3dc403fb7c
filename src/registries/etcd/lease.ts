/** The lease of all entries of one registry object: it is granted on demand and kept alive. */
import type { EntryRequests } from './entry-requests.js';

const KEEP_ALIVES_PER_TTL = 3;
/** The most ids in `ownLeases`. */
const MAX_OWN_LEASES = 16;

export class EntryLease {
  /** Milliseconds. */
  readonly #requestedTtl: number;
  #granted: { readonly id: bigint; readonly ttl: number } | undefined;
  /** When the next keep-alive is due: a time of performance.now(). */
  #keepAliveAt = 0;
  /** The current lease and earlier ones. An entry under one of them belongs to this registry. */
  readonly ownLeases = new Set<bigint>();

  /** `ttl`: in milliseconds. */
  constructor(ttl: number) {
    this.#requestedTtl = ttl;
  }

  get id(): bigint | undefined {
    return this.#granted?.id;
  }

  /** Milliseconds. The server may grant more than requested. */
  get ttl(): number {
    return this.#granted?.ttl ?? this.#requestedTtl;
  }

  /** Milliseconds until the next keep-alive is due. */
  get keepAliveDelay(): number {
    return this.#granted === undefined
      ? this.#requestedTtl
      : Math.max(0, this.#keepAliveAt - performance.now());
  }

  /**
   * Requests a lease if there is none, or sends a keep-alive if it is due. Resolves with false if
   * the lease is lost.
   */
  async grantOrKeepAlive(requests: EntryRequests): Promise<boolean> {
    const now = performance.now();
    if (this.#granted === undefined) {
      this.#granted = await requests.grant(this.#requestedTtl);
      this.ownLeases.add(this.#granted.id);
      const [oldest] = this.ownLeases;
      if (this.ownLeases.size > MAX_OWN_LEASES && oldest !== undefined)
        this.ownLeases.delete(oldest);
    } else if (now < this.#keepAliveAt) {
      return true;
    } else if (!(await requests.keepAlive(this.#granted.id))) {
      return false;
    }
    this.#keepAliveAt =
      now + (this.#granted.ttl / KEEP_ALIVES_PER_TTL) * (0.8 + Math.random() * 0.2);
    return true;
  }

  clear(): void {
    this.#granted = undefined;
  }
}
