/**
 * The connections of a consumer to one address: an rpc client, dialed when a call first needs it.
 */

import type { AsyncContext } from '../../core/async-context.js';
import { messageOf } from '../../core/errors.js';
import { startTimer } from '../../core/timers.js';
import { inTurns, settleInTurns } from '../../core/turn.js';
import {
  type Call,
  connect,
  type PeerStatistics,
  type RpcClient,
  type RpcClientOptions,
} from '../../rpc/index.js';

/**
 * Milliseconds between a failed dial and the next; doubles with each failure up to the longest. A
 * node is used again within the longest of being reachable.
 */
const FIRST_BACKOFF = 200;
const LONGEST_BACKOFF = 1_000;
/**
 * Milliseconds that calls wait for the first dial of the node that the balancer picked, before they
 * go to another that is connected. After a dial has failed they do not wait.
 */
const DIAL_GRACE = 250;
/** How many looks within an idle timeout find out whether a link was used. */
export const LOOKS = 4;

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

export class Link {
  readonly address: string;
  readonly #options: RpcClientOptions;
  readonly #changed: () => void;
  readonly #asyncContext: AsyncContext;
  #client: RpcClient | undefined;
  /** Of the client; `left`: its events no longer matter. */
  #connection = { left: false };
  #dialing: Promise<void> | undefined;
  /** Runs for DIAL_GRACE ms from the beginning of the first dial. */
  #grace: NodeJS.Timeout | undefined;
  #responsive = false;
  /** The sessions are lost, and the client's next attempt is not due. */
  #down = false;
  readonly #waiters = new Set<Waiter>();
  #failures = 0;
  #lastFailure: unknown;
  #backoff: NodeJS.Timeout | undefined;
  #used = true;
  /** Looks in a row that found it unused. */
  #unused = 0;
  /** Connections that no call has used, on their way out. */
  readonly #leaving = new Set<Promise<void>>();
  #closed = false;

  /**
   * It dials in `asyncContext`, and not in that of the call that needs it. `changed` is called when
   * `available` or `connected` may have changed.
   */
  constructor(
    address: string,
    options: RpcClientOptions,
    asyncContext: AsyncContext,
    changed: () => void,
  ) {
    this.address = address;
    this.#options = options;
    this.#asyncContext = asyncContext;
    this.#changed = changed;
  }

  /** Milliseconds that a call should wait for a connection before it goes to another node. */
  get grace(): number {
    return this.#grace === undefined ? 0 : DIAL_GRACE;
  }

  /** A call can be sent, and the node gives signs of life. */
  get connected(): boolean {
    return this.#responsive;
  }

  /** Worth a pick: connected, or not dialed yet, or dialed a moment ago, and not in backoff. */
  get available(): boolean {
    if (this.#dialing !== undefined) return this.#grace !== undefined || this.#responsive;
    return this.#client === undefined ? this.#backoff === undefined : this.#responsive;
  }

  /** Calls that are under way, in either direction. */
  get isBusy(): boolean {
    for (const { pending, serving } of this.#client?.channels ?? [])
      if (pending > 0 || serving > 0) return true;
    return false;
  }

  /** Its open sessions. */
  get peers(): PeerStatistics[] {
    return [...(this.#client?.channels ?? [])].map(({ statistics }) => statistics);
  }

  /** Why it is not worth a call, for people to read; undefined when it is. */
  get fault(): string | undefined {
    if (this.available) return undefined;
    if (this.#dialing !== undefined) return 'it is being connected';
    if (this.#client === undefined)
      return `it could not be dialed, and is dialed again later: ${messageOf(this.#lastFailure)}`;
    if (this.#client.channels.size > 0) return 'it owes a sign of life';
    return 'its connection is lost, and tried again';
  }

  /** Sends the call; the link must be connected. */
  invoke(call: Call): Promise<unknown> {
    this.#used = true;
    return (this.#client as RpcClient).invoke(call);
  }

  /**
   * Settles when the link is connected, dialing if need be. Concurrent callers share one dial.
   * Rejects with the reason when that dial fails, or at once while the next attempt is not due.
   */
  connect(): Promise<void> {
    this.#used = true;
    if (this.#responsive) return Promise.resolve();
    if (this.#client === undefined) {
      this.#dialing ??= this.#asyncContext.run(this.#dial, this, undefined);
      return settleInTurns(this.#dialing);
    }
    if (this.#down) return Promise.reject(this.#lastFailure);
    return new Promise((resolve, reject) => this.#waiters.add({ resolve, reject }));
  }

  #settleWaiters(act: (waiter: Waiter) => void): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    inTurns(waiters, act);
  }

  async #dial(): Promise<void> {
    clearTimeout(this.#backoff);
    this.#backoff = undefined;
    if (this.#failures === 0) this.#grace = startTimer(() => this.#endGrace(), DIAL_GRACE).unref();
    try {
      if (this.#closed) throw new Error('the node is gone');
      const connection = { left: false };
      this.#connection = connection;
      const responsive = new Promise<void>((resolve, reject) =>
        this.#waiters.add({ resolve, reject }),
      );
      // When connect() rejects, nothing waits for it.
      responsive.catch(() => {});
      const client = await connect(this.address, this.#optionsFor(connection));
      if (this.#closed) {
        await client.close();
        throw new Error('the node is gone');
      }
      this.#client = client;
      this.#failures = 0;
      await responsive;
    } catch (error) {
      this.#dialFailed(error);
      throw error;
    } finally {
      this.#dialing = undefined;
      this.#endGrace();
    }
  }

  #endGrace(): void {
    clearTimeout(this.#grace);
    this.#grace = undefined;
    this.#changed();
  }

  #optionsFor(connection: { readonly left: boolean }): RpcClientOptions {
    const { onState, reconnect = true } = this.#options;
    return {
      ...this.#options,
      reconnect: reconnect === true ? { maxDelay: LONGEST_BACKOFF } : reconnect,
      // The registry decides which nodes use TLS; connect() refuses the option for those that do
      // not.
      tls: /^(?:tls|wss):/.test(this.address) ? this.#options.tls : undefined,
      onResponsive: (responsive) => {
        if (connection.left) return;
        this.#responsive = responsive;
        if (responsive) this.#settleWaiters((waiter) => waiter.resolve());
        this.#changed();
      },
      onState: (state, reason) => {
        if (!connection.left) {
          this.#down = state === 'down';
          if (state === 'down') this.#lost(reason);
        }
        return onState?.(state, reason);
      },
    };
  }

  #lost(reason: unknown): void {
    this.#lastFailure = reason;
    this.#settleWaiters((waiter) => waiter.reject(reason));
    // This client does not dial again: the next call makes another.
    if (this.#options.reconnect === false && this.#client !== undefined) this.#leave(this.#client);
  }

  #dialFailed(error: unknown): void {
    this.#lastFailure = error;
    this.#waiters.clear();
    // A client that was connected once dials again by itself.
    if (this.#client !== undefined || this.#closed) return;
    this.#failures++;
    const delay =
      Math.min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** Math.min(this.#failures - 1, 10)) *
      (0.5 + Math.random() / 2);
    this.#backoff = startTimer(() => {
      this.#backoff = undefined;
      this.#changed();
    }, delay);
    this.#backoff.unref();
  }

  /**
   * Whether it was used since the last look; after LOOKS looks in vain its connections are closed,
   * and the next call dials again.
   */
  look(): void {
    const client = this.#client;
    if (client === undefined) return;
    if (this.#used || this.isBusy) {
      this.#used = false;
      this.#unused = 0;
    } else if (++this.#unused >= LOOKS) {
      this.#leave(client);
    }
  }

  #leave(client: RpcClient): void {
    this.#connection.left = true;
    this.#client = undefined;
    this.#responsive = false;
    this.#used = true;
    this.#unused = 0;
    const leaving = client.close().finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
    this.#changed();
  }

  /** Let calls under way finish, for at most drainTimeout, and dial no more. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#backoff);
    this.#settleWaiters((waiter) => waiter.reject(new Error('the node is gone')));
    await Promise.all([this.#client?.close(), this.#dialing?.catch(() => {}), ...this.#leaving]);
  }
}
