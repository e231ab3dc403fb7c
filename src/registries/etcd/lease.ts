/**
 * The lease of all entries of this process: granted when it is needed, kept alive, granted anew
 * when it was lost.
 */
import type { EntryRequests } from './entry-requests.js';

const KEEP_ALIVES_PER_TTL = 3;
/** Leases of ours that are remembered: an entry under one of them is ours. */
const KNOWN = 16;

export class OwnLease {
  readonly #wanted: number;
  #granted: { readonly id: bigint; readonly ttl: number } | undefined;
  /** The monotonic instant at which it is to be kept alive. */
  #due = 0;
  readonly known = new Set<bigint>();

  /** `ttl` in milliseconds. */
  constructor(ttl: number) {
    this.#wanted = ttl;
  }

  get id(): bigint | undefined {
    return this.#granted?.id;
  }

  /** Milliseconds; what the server has granted may be more than what was asked for. */
  get ttl(): number {
    return this.#granted?.ttl ?? this.#wanted;
  }

  /** Milliseconds until it is to be kept alive. */
  get pause(): number {
    return this.#granted === undefined ? this.#wanted : Math.max(0, this.#due - performance.now());
  }

  /** Take one, or keep the one there is alive if that is due. False: it is lost. */
  async keep(requests: EntryRequests): Promise<boolean> {
    const now = performance.now();
    if (this.#granted === undefined) {
      this.#granted = await requests.grant(this.#wanted);
      this.known.add(this.#granted.id);
      const [oldest] = this.known;
      if (this.known.size > KNOWN && oldest !== undefined) this.known.delete(oldest);
    } else if (now < this.#due) {
      return true;
    } else if (!(await requests.keepAlive(this.#granted.id))) {
      return false;
    }
    this.#due = now + (this.#granted.ttl / KEEP_ALIVES_PER_TTL) * (0.8 + Math.random() * 0.2);
    return true;
  }

  forget(): void {
    this.#granted = undefined;
  }
}
