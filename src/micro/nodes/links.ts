/** The links of a consumer, by address. */
import type { AsyncContext } from '../../core/async-context.js';
import { startInterval } from '../../core/timers.js';
import type { PeerStatistics, RpcClientOptions } from '../../rpc/index.js';
import { Link, LOOKS } from './node-client.js';

/**
 * Milliseconds between two looks at links whose address has left all lists: they close when their
 * last call is over.
 */
const RETIRED_PERIOD = 500;

export class Links {
  readonly #byAddress = new Map<string, Link>();
  /** Links whose address is in no list any more, and which have calls under way. */
  readonly #retired = new Map<string, Link>();
  readonly #closing = new Set<Promise<void>>();
  readonly #options: RpcClientOptions;
  readonly #changed: () => void;
  readonly #asyncContext: AsyncContext;
  readonly #idleTimeout: number;
  #looks: NodeJS.Timeout | undefined;
  #retiredLooks: NodeJS.Timeout | undefined;

  /**
   * `idleTimeout`: milliseconds after which connections that no call has used are closed; 0: never.
   */
  constructor(
    options: RpcClientOptions,
    idleTimeout: number,
    asyncContext: AsyncContext,
    changed: () => void,
  ) {
    this.#options = options;
    this.#asyncContext = asyncContext;
    this.#idleTimeout = idleTimeout;
    this.#changed = changed;
  }

  of(address: string): Link {
    let link = this.#byAddress.get(address);
    if (link === undefined) {
      link =
        this.#retired.get(address) ??
        new Link(address, this.#options, this.#asyncContext, this.#changed);
      this.#retired.delete(address);
      this.#byAddress.set(address, link);
      if (this.#idleTimeout > 0)
        this.#looks ??= startInterval(() => this.#look(), this.#idleTimeout / LOOKS).unref();
    }
    return link;
  }

  #look(): void {
    for (const link of this.#byAddress.values()) link.look();
  }

  /** The open sessions of all links. */
  peers(): PeerStatistics[] {
    return [...this.#byAddress.values(), ...this.#retired.values()].flatMap((link) => link.peers);
  }

  /** Why the address is not worth a call; undefined when it is. */
  faultOf(address: string): string | undefined {
    return this.#byAddress.get(address)?.fault;
  }

  /**
   * False while the address is being dialed, is in backoff after a failure, or gives no sign of
   * life.
   */
  isAvailable(address: string): boolean {
    return this.#byAddress.get(address)?.available ?? true;
  }

  isConnected(address: string): boolean {
    return this.#byAddress.get(address)?.connected ?? false;
  }

  /**
   * Use no other address any more: a provider that is gone is not dialed for ever. A link with
   * calls under way is kept until they are over, and is taken back when its address returns: an
   * entry that was away for a moment costs no call.
   */
  keepOnly(addresses: ReadonlySet<string>): void {
    for (const [address, link] of this.#byAddress) {
      if (addresses.has(address)) continue;
      this.#byAddress.delete(address);
      if (link.isBusy) this.#retired.set(address, link);
      else this.#close(link);
    }
    if (this.#retired.size > 0)
      this.#retiredLooks ??= startInterval(() => this.#closeRetired(), RETIRED_PERIOD).unref();
    if (this.#byAddress.size > 0) return;
    clearInterval(this.#looks);
    this.#looks = undefined;
  }

  #closeRetired(): void {
    for (const [address, link] of this.#retired) {
      if (link.isBusy) continue;
      this.#retired.delete(address);
      this.#close(link);
    }
    if (this.#retired.size > 0) return;
    clearInterval(this.#retiredLooks);
    this.#retiredLooks = undefined;
  }

  #close(link: Link): void {
    const closing = link.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  async close(): Promise<void> {
    this.keepOnly(new Set());
    for (const link of this.#retired.values()) this.#close(link);
    this.#retired.clear();
    this.#closeRetired();
    await Promise.all(this.#closing);
  }
}
