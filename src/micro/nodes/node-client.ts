/** The connections of a consumer to one address. */
import type { AsyncContext } from '../../core/async-context.js';
import { messageOf } from '../../core/errors.js';
import { startTimer } from '../../core/timers.js';
import { settleInTurns } from '../../core/turn.js';
import { HAS_GIVEN_UP, type NodeConnection } from '../../rpc/consumer-connection.js';
import {
  connect,
  type PeerStatistics,
  type RpcClient,
  type RpcClientOptions,
} from '../../rpc/index.js';
import { hasSocketOption, rejectsProxy, rejectsTls } from '../../transport/address.js';
import { DialBackoff, MAX_BACKOFF } from './dial-backoff.js';
import { IdleCheck } from './idle-check.js';
import { Waiters } from './waiters.js';

/**
 * Milliseconds that calls wait for the first dial of the picked node before they use a connected
 * one. After a failed dial they do not wait.
 */
const DIAL_GRACE = 250;

/**
 * An rpc client that is dialed when a call first needs it and closed when no call uses it. All
 * nodes with the same address share one.
 */
export class NodeClient {
  readonly address: string;
  readonly #options: RpcClientOptions;
  readonly #onChange: () => void;
  readonly #asyncContext: AsyncContext;
  #client: RpcClient | undefined;
  /**
   * The state of `#client`, or of the client that is being dialed. Events of a detached one are
   * ignored.
   */
  #attachment = { isDetached: false };
  #dialing: Promise<void> | undefined;
  /** If the dial in progress fails, another one follows at once. */
  #dialsAgain = false;
  /** A connection was lost: dials until the node is connected, or until no call uses it. */
  #keepsDialing = false;
  /** Runs for DIAL_GRACE ms from the start of the first dial. */
  #graceTimer: NodeJS.Timeout | undefined;
  #isResponsive = false;
  /** All sessions are lost, and the client waits before it dials again. */
  #isDown = false;
  readonly #waiters = new Waiters();
  readonly #backoff = new DialBackoff();
  #lastError: unknown;
  readonly #idleCheck = new IdleCheck();
  /** Clients that are closing because no call used them, or because they do not reconnect. */
  readonly #closingClients = new Set<Promise<void>>();
  /** Aborts the dial in progress when this client is closed. */
  readonly #closing = new AbortController();

  /**
   * Dials in `asyncContext`, not in the context of the call that needs the connection. `onChange`
   * is called when `isAvailable` or `isConnected` may have changed.
   */
  constructor(
    address: string,
    options: RpcClientOptions,
    asyncContext: AsyncContext,
    onChange: () => void,
  ) {
    this.address = address;
    this.#options = options;
    this.#asyncContext = asyncContext;
    this.#onChange = onChange;
  }

  /** Milliseconds that a call should wait for a connection before it uses another node. */
  get dialGrace(): number {
    return this.#graceTimer === undefined ? 0 : DIAL_GRACE;
  }

  /** Whether a call can be sent, and the node gives signs of life. */
  get isConnected(): boolean {
    return this.#isResponsive;
  }

  /** Whether a balancer should pick it: connected, not dialed yet, or within its dial grace. */
  get isAvailable(): boolean {
    if (this.#dialing !== undefined) return this.#graceTimer !== undefined || this.#isResponsive;
    return this.#client === undefined ? !this.#backoff.isRunning : this.#isResponsive;
  }

  /** Whether calls are in flight, in either direction. */
  get isBusy(): boolean {
    for (const { pending, serving } of this.#client?.channels ?? [])
      if (pending > 0 || serving > 0) return true;
    return false;
  }

  /** Whether it is dialed now, or a call waits for its first sign of life. */
  get isDialing(): boolean {
    return this.#dialing !== undefined;
  }

  /** The calls that the node has made to this process in its open sessions. */
  get #receivedCalls(): number {
    let sum = 0;
    for (const { statistics } of this.#client?.channels ?? []) sum += statistics.served.started;
    return sum;
  }

  /** The open sessions. */
  get peers(): PeerStatistics[] {
    return [...(this.#client?.channels ?? [])].map(({ statistics }) => statistics);
  }

  /** Resets the counts of `peers`, and the counters that all clients share. */
  resetStatistics(): void {
    this.#client?.resetStatistics();
  }

  /** Why `isAvailable` is false, for logs and diagnostics; undefined when it is true. */
  get unavailableReason(): string | undefined {
    if (this.isAvailable) return undefined;
    if (this.#dialing !== undefined) return 'connecting';
    if (this.#client === undefined)
      return `the last dial failed, the next one follows: ${messageOf(this.#lastError)}`;
    if (this.#client.channels.size > 0) return 'no sign of life';
    return 'the connection is lost, reconnecting';
  }

  /** The rpc client, for one call. It must be connected. */
  use(): NodeConnection {
    this.#idleCheck.markUsed();
    this.#backoff.onUse();
    return this.#client as NodeConnection;
  }

  /**
   * Settles when the client is connected, and dials if need be, also while the client waits before
   * it dials again. Concurrent callers share one dial. Rejects with the reason when the dial fails.
   */
  connect(): Promise<void> {
    this.#idleCheck.markUsed();
    if (this.#closing.signal.aborted) return Promise.reject(clientClosedError());
    if (this.#isResponsive) return Promise.resolve();
    if (this.#dialing !== undefined) return settleInTurns(this.#dialing);
    if (this.#client !== undefined) {
      if (!this.#isDown) return this.#waiters.wait();
      // A call does not wait for this dial if another node is connected.
      this.#backoff.failures = 1;
      this.#dropClient(this.#client);
    }
    return settleInTurns(this.#startDial());
  }

  /**
   * The node was published, or its entry has changed. Dials at once if the last dial failed or the
   * connection was lost: the node may have begun to listen since then.
   */
  onPublish(): void {
    const client = this.#client;
    this.#dialsAgain = this.#dialing !== undefined;
    if (this.#dialsAgain || this.#closing.signal.aborted || this.#isResponsive) return;
    if (client === undefined ? !this.#backoff.isRunning : client.channels.size > 0) return;
    this.#backoff.failures = 0;
    if (client !== undefined) this.#dropClient(client);
    this.#startDial().catch(() => {});
  }

  /** Drops a client that has no session. It would wait before it dials again. */
  #dropClient(client: RpcClient): void {
    this.#detach(client);
    const { reconnect } = this.#options;
    this.#keepsDialing = typeof reconnect !== 'object' || reconnect.maxAttempts === undefined;
  }

  #startDial(): Promise<void> {
    this.#dialing ??= this.#asyncContext.run(this.#dial, this, undefined);
    return this.#dialing;
  }

  async #dial(): Promise<void> {
    this.#backoff.stop();
    if (this.#backoff.failures === 0)
      this.#graceTimer = startTimer(() => this.#endGrace(), DIAL_GRACE).unref();
    try {
      await this.#backoff.pauseAfterUnusedLoss(this.#closing.signal);
      this.#dialsAgain = false;
      await this.#dialOnce().catch((error) => {
        if (!this.#dialsAgain) throw error;
        if (this.#client !== undefined) this.#dropClient(this.#client);
        return this.#dialOnce();
      });
      this.#keepsDialing = false;
    } catch (error) {
      this.#onDialFailed(error);
      throw error;
    } finally {
      this.#dialing = undefined;
      this.#endGrace();
    }
  }

  async #dialOnce(): Promise<void> {
    if (this.#closing.signal.aborted) throw clientClosedError();
    const attachment = { isDetached: false };
    this.#attachment = attachment;
    this.#isDown = false;
    const responsive = this.#waiters.wait();
    const client = await connect(this.address, this.#optionsFor(attachment)).catch((error) => {
      throw this.#closing.signal.aborted ? clientClosedError() : error;
    });
    if (this.#closing.signal.aborted) {
      await client.close();
      throw clientClosedError();
    }
    this.#client = client;
    this.#backoff.onConnect();
    await responsive;
  }

  #endGrace(): void {
    clearTimeout(this.#graceTimer);
    this.#graceTimer = undefined;
    this.#onChange();
  }

  #optionsFor(attachment: { readonly isDetached: boolean }): RpcClientOptions {
    const { onState, reconnect = true } = this.#options;
    return {
      ...this.#options,
      signal: this.#closing.signal,
      reconnect: reconnect === true ? { maxDelay: MAX_BACKOFF } : reconnect,
      // The registry decides which nodes use TLS or a transport without proxies, and connect()
      // rejects the options for the others.
      socket: this.#socketOptions(),
      tls: rejectsTls(this.address) ? undefined : this.#options.tls,
      proxy: rejectsProxy(this.address) ? undefined : this.#options.proxy,
      onResponsive: (isResponsive) => {
        if (attachment.isDetached) return;
        this.#isResponsive = isResponsive;
        if (isResponsive) this.#waiters.resolveAll();
        this.#onChange();
      },
      onState: (state, reason) => {
        if (!attachment.isDetached) {
          this.#isDown = state === 'down';
          if (state === 'down') this.#onDown(reason);
        }
        return onState?.(state, reason);
      },
    };
  }

  #socketOptions(): RpcClientOptions['socket'] {
    const given = Object.entries(this.#options.socket ?? {});
    return Object.fromEntries(given.filter(([name]) => hasSocketOption(name, this.address)));
  }

  #onDown(reason: unknown): void {
    this.#lastError = reason;
    this.#waiters.rejectAll(reason);
    // A client that dials no more: the next call makes another one.
    const client = this.#client as NodeConnection | undefined;
    if (client?.[HAS_GIVEN_UP] === true) this.#detach(client);
  }

  #onDialFailed(error: unknown): void {
    this.#lastError = error;
    this.#waiters.rejectAll(error);
    // If the client was connected before, it reconnects by itself.
    if (this.#client !== undefined || this.#closing.signal.aborted) return;
    const onBackoffEnd = (): void => {
      if (this.#keepsDialing) this.#startDial().catch(() => {});
      this.#onChange();
    };
    // A client that reconnects by itself also keeps the process alive.
    this.#backoff.start(onBackoffEnd, this.#keepsDialing);
  }

  /**
   * Closes the connections if no call has used them in the last IDLE_CHECKS checks. The next call
   * dials again.
   */
  checkIdle(): void {
    const client = this.#client;
    if (client === undefined && !this.#keepsDialing) return;
    if (!this.#idleCheck.isIdle(this.#receivedCalls, this.isBusy)) return;
    this.#keepsDialing = false;
    // A dial in progress waits for an event of its client.
    if (client !== undefined && this.#dialing === undefined) this.#detach(client);
  }

  /** Closes `client` in the background. The next call dials as the first one did. */
  #detach(client: RpcClient): void {
    this.#attachment.isDetached = true;
    this.#client = undefined;
    this.#isResponsive = false;
    this.#idleCheck.reset();
    const closing = client.close().finally(() => this.#closingClients.delete(closing));
    this.#closingClients.add(closing);
    this.#onChange();
  }

  /** Lets calls in flight finish, for at most drainTimeout, and dials no more. */
  async close(): Promise<void> {
    this.#closing.abort(clientClosedError());
    this.#backoff.stop();
    this.#waiters.rejectAll(clientClosedError());
    await Promise.all([
      this.#client?.close(),
      this.#dialing?.catch(() => {}),
      ...this.#closingClients,
    ]);
  }
}

function clientClosedError(): Error {
  return new Error('the node has left the list, or the consumer is closed');
}
