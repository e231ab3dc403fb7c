/** The node clients of a consumer, one for each address. */
import type { AsyncContext } from '../../core/async-context.js';
import { startInterval } from '../../core/timers.js';
import { type PeerStatistics, type RpcClientOptions, RpcError } from '../../rpc/index.js';
import { IDLE_CHECKS } from './idle-check.js';
import { NodeClient } from './node-client.js';

/** Milliseconds between two checks whether retired clients still have calls in flight. */
const RETIRED_CHECK_PERIOD = 500;

export class ClientCache {
  readonly #byAddress = new Map<string, NodeClient>();
  /** Clients whose address has left all lists, and which still have calls in flight. */
  readonly #retired = new Map<string, NodeClient>();
  readonly #closing = new Set<Promise<void>>();
  readonly #options: RpcClientOptions;
  readonly #onChange: () => void;
  readonly #asyncContext: AsyncContext;
  readonly #idleTimeout: number;
  #idleTimer: NodeJS.Timeout | undefined;
  #retiredTimer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /**
   * `idleTimeout`: milliseconds after which unused connections are closed; 0: never. `onChange` is
   * called when isAvailable() or isConnected() may have changed.
   */
  constructor(
    options: RpcClientOptions,
    idleTimeout: number,
    asyncContext: AsyncContext,
    onChange: () => void,
  ) {
    this.#options = options;
    this.#asyncContext = asyncContext;
    this.#idleTimeout = idleTimeout;
    this.#onChange = onChange;
  }

  /**
   * The client of an address, made if need be. Throws UNAVAILABLE after close(): a balancer may
   * close the consumer, and nothing would close the client.
   */
  of(address: string): NodeClient {
    return this.#byAddress.get(address) ?? this.#add(address);
  }

  #add(address: string): NodeClient {
    if (this.#isClosed) throw consumerClosedError();
    const client =
      this.#retired.get(address) ??
      new NodeClient(address, this.#options, this.#asyncContext, this.#onChange);
    this.#retired.delete(address);
    this.#byAddress.set(address, client);
    if (this.#idleTimeout > 0)
      this.#idleTimer ??= startInterval(
        () => this.#checkIdle(),
        this.#idleTimeout / IDLE_CHECKS,
      ).unref();
    return client;
  }

  /** Call it when a node of the address was published, or when its entry has changed. */
  onPublish(address: string): void {
    if (this.#byAddress.has(address) || this.#retired.has(address)) this.of(address).onPublish();
  }

  #checkIdle(): void {
    for (const client of this.#byAddress.values()) client.checkIdle();
  }

  /** The open sessions of all clients. */
  peers(): PeerStatistics[] {
    return this.#clients.flatMap(({ peers }) => peers);
  }

  /** Resets the counts of `peers()`, and the counters that all clients share. */
  resetStatistics(): void {
    for (const client of this.#clients) client.resetStatistics();
  }

  get #clients(): NodeClient[] {
    return [...this.#byAddress.values(), ...this.#retired.values()];
  }

  /** Why isAvailable() is false, for logs and diagnostics; undefined when it is true. */
  unavailableReason(address: string): string | undefined {
    return this.#byAddress.get(address)?.unavailableReason;
  }

  /**
   * False while a dial takes longer than its grace, after a failed dial, and while the node gives
   * no sign of life. True for an address without a client.
   */
  isAvailable(address: string): boolean {
    return this.#byAddress.get(address)?.isAvailable ?? true;
  }

  /** Whether a call can be sent to the address at once. */
  isConnected(address: string): boolean {
    return this.#byAddress.get(address)?.isConnected ?? false;
  }

  /**
   * Closes the clients of addresses that are not in `addresses`. So they dial no provider that is
   * gone.
   * A client with calls in flight is kept until they end, and is used again if its address returns
   * before. So is a client that a broadcast dials: its address is in `listed`.
   */
  keepOnly(addresses: ReadonlySet<string>, listed: ReadonlySet<string> = addresses): void {
    for (const [address, client] of this.#byAddress) {
      if (addresses.has(address)) continue;
      this.#byAddress.delete(address);
      if (client.isBusy || (client.isDialing && listed.has(address)))
        this.#retired.set(address, client);
      else this.#close(client);
    }
    if (this.#retired.size > 0)
      this.#retiredTimer ??= startInterval(
        () => this.#closeRetired(),
        RETIRED_CHECK_PERIOD,
      ).unref();
    if (this.#byAddress.size > 0) return;
    clearInterval(this.#idleTimer);
    this.#idleTimer = undefined;
  }

  #closeRetired(): void {
    for (const [address, client] of this.#retired) {
      if (client.isBusy || client.isDialing) continue;
      this.#retired.delete(address);
      this.#close(client);
    }
    if (this.#retired.size > 0) return;
    clearInterval(this.#retiredTimer);
    this.#retiredTimer = undefined;
  }

  #close(client: NodeClient): void {
    const closing = client.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** Lets calls in flight finish, for at most drainTimeout, and closes all clients. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.keepOnly(new Set());
    for (const client of this.#retired.values()) this.#close(client);
    this.#retired.clear();
    this.#closeRetired();
    await Promise.all(this.#closing);
  }
}

/** The error of a call after the consumer was closed. */
export function consumerClosedError(): RpcError {
  return new RpcError('UNAVAILABLE', 'the consumer is closed', { unsent: true });
}
