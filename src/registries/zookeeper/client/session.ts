/**
 * Keeps one session alive. It dials the hosts in turn with backoff, continues the session on the
 * next connection, and begins a new session when it has expired.
 */
import { notifyOrWarn } from '../../../core/callbacks.js';
import { backoffDelay, pause } from '../../../core/timers.js';
import type { TlsOptions } from '../../../transport/index.js';
import type { ClientState } from '../types.js';
import { zooKeeperReasonOf } from './errors.js';
import { NO_SESSION, type SessionIdentity } from './protocol.js';
import { ServerConnection, type ServerConnectionEvents } from './server-connection.js';

export interface ZooKeeperSessionOptions {
  readonly hosts: readonly string[];
  /** Milliseconds, like the two delays. */
  readonly sessionTimeout: number;
  readonly initialDelay: number;
  readonly maxDelay: number;
  readonly maxResponseBytes: number;
  readonly tls: TlsOptions | undefined;
}

export interface ZooKeeperSessionEvents {
  onEvent: ServerConnectionEvents['onEvent'];
  /** Called when a server has accepted the session. */
  onConnected(connection: ServerConnection): void;
  /** Called when the session has expired, with its watches and ephemeral nodes. */
  onExpired(): void;
  onState(state: ClientState, cause?: Error): unknown;
}

/**
 * Milliseconds. A shorter connection counts as a failed attempt, so that a server that accepts and
 * closes connections causes no busy loop.
 */
const MIN_CONNECTION_TIME = 1_000;
/**
 * The first time limit of an attempt, as a part of the session's timeout. The allowed silence of a
 * server and this limit together are shorter than the timeout.
 */
const FIRST_ATTEMPT_TIMEOUT = 1 / 6;
/** The upper bound of the first time limit, in milliseconds. */
const MAX_FIRST_ATTEMPT_TIMEOUT = 2_500;
/** The most ids of earlier sessions that are kept. Far fewer can be alive at once. */
const MAX_EARLIER_SESSIONS = 100;

export class ZooKeeperSession {
  readonly #options: ZooKeeperSessionOptions;
  readonly #events: ZooKeeperSessionEvents;
  /** The servers, in random order, so that clients spread over them. */
  readonly #hosts: readonly string[];
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  /** What the next handshake requests: its timeout is that of the options, not the granted one. */
  #session: SessionIdentity;
  /** The timeout of the session in milliseconds: as granted, or before that as requested. */
  #timeout: number;
  readonly #earlierSessions = new Set<bigint>();
  #lastZxid = 0n;
  #state: ClientState = 'connecting';
  /** Attempts in a row in which a server accepted the connection and did not answer. */
  #timeouts = 0;
  /** When the last connection ended, by performance.now(); before the first one, when it began. */
  #connectedUntil = 0;
  connection: ServerConnection | undefined;
  /** Why the last attempt or connection failed. */
  lastFailure: Error | undefined;

  constructor(options: ZooKeeperSessionOptions, events: ZooKeeperSessionEvents) {
    this.#options = options;
    this.#events = events;
    this.#hosts = shuffled(options.hosts);
    this.#session = { ...NO_SESSION, timeout: options.sessionTimeout };
    this.#timeout = options.sessionTimeout;
  }

  get state(): ClientState {
    return this.#state;
  }

  /** The id of the session. 0n: there is no session. */
  get sessionId(): bigint {
    return this.#session.id;
  }

  get lastZxid(): bigint {
    return this.#lastZxid;
  }

  /** Whether the id is that of the session or of an earlier one. */
  isOwn(session: bigint): boolean {
    return session !== 0n && (session === this.#session.id || this.#earlierSessions.has(session));
  }

  get isStarted(): boolean {
    return this.#running !== undefined;
  }

  start(): void {
    if (this.#running !== undefined) return;
    this.#connectedUntil = performance.now();
    this.#running = this.#run(this.#abort.signal);
  }

  /** Ends the connection and stops dialing. Requests in flight fail; `reason` is the cause. */
  async stop(reason: Error): Promise<void> {
    this.#abort.abort(reason);
    this.#setState('closed');
    this.connection?.destroy(reason);
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const hostCount = this.#hosts.length;
    let failures = 0;
    for (let attempt = 0; !signal.aborted; attempt++) {
      if (attempt > 0) await pause(this.#delay(failures), signal);
      if (signal.aborted) return;
      const connectedTime = await this.#attempt(this.#hosts[attempt % hostCount] as string);
      const wasShort = connectedTime < MIN_CONNECTION_TIME;
      if (!wasShort) failures = 0;
      // A host that stopped answering counts as one failed attempt.
      if (wasShort || zooKeeperReasonOf(this.lastFailure) === 'SILENT') failures++;
      if (failures >= hostCount) this.#setState('away', this.lastFailure);
    }
  }

  /**
   * Milliseconds before the next attempt. After a connection that has ended (no failures): random,
   * so that clients do not all return at once. After a failure 0, because the session may expire
   * soon. After each round in which all hosts have failed: a backoff.
   */
  #delay(failures: number): number {
    if (failures === 0) return Math.random() * this.#options.initialDelay;
    if (failures % this.#hosts.length !== 0) return 0;
    const { initialDelay, maxDelay } = this.#options;
    return backoffDelay(failures / this.#hosts.length, initialDelay, maxDelay);
  }

  /**
   * Milliseconds for one attempt. Short at first, so that the next host is tried before the session
   * expires, and because a server that is starting may never answer. Doubled after each attempt in
   * a row in which a server accepted the connection and did not answer, because all servers may be
   * slow.
   */
  #attemptTimeout(): number {
    const first = Math.min(
      MAX_FIRST_ATTEMPT_TIMEOUT,
      Math.ceil(this.#timeout * FIRST_ATTEMPT_TIMEOUT),
    );
    return Math.min(this.#timeout, first * 2 ** Math.min(this.#timeouts, 10));
  }

  /**
   * Connects to one host and waits until the connection ends. Returns the milliseconds for which
   * the host held the session. 0: it did not accept the session.
   */
  async #attempt(host: string): Promise<number> {
    let connection: ServerConnection;
    try {
      connection = await this.#open(host, this.#attemptTimeout());
    } catch (error) {
      this.#timeouts = zooKeeperReasonOf(error) === 'OPERATION_TIMEOUT' ? this.#timeouts + 1 : 0;
      if (!this.#abort.signal.aborted) this.lastFailure = error as Error;
      return 0;
    }
    const startedAt = performance.now();
    this.#timeouts = 0;
    this.#session = { ...connection.granted, timeout: this.#options.sessionTimeout };
    this.#timeout = connection.granted.timeout;
    this.connection = connection;
    this.#setState('connected');
    this.#events.onConnected(connection);
    this.lastFailure = await connection.ended;
    this.connection = undefined;
    this.#connectedUntil = performance.now();
    if (this.#state === 'connected') this.#state = 'connecting';
    return this.#connectedUntil - startedAt;
  }

  async #open(host: string, timeout: number): Promise<ServerConnection> {
    try {
      return await this.#dial(host, timeout);
    } catch (error) {
      if (this.#session.id === 0n || !this.#hasExpired(error as Error)) throw error;
      this.#onExpired(error as Error);
      return this.#dial(host, timeout);
    }
  }

  #hasExpired(error: Error): boolean {
    const reason = zooKeeperReasonOf(error);
    if (reason === 'SESSION_EXPIRED') return true;
    // A server that has lost its data refuses the client's zxid, which is ahead of its own. After
    // twice the timeout no running server has the session any more. If all servers were stopped,
    // the session may still exist: its entries are recognized by their owner and replaced.
    return reason === 'REFUSED' && performance.now() - this.#connectedUntil > 2 * this.#timeout;
  }

  #dial(host: string, timeout: number): Promise<ServerConnection> {
    const { maxResponseBytes, tls } = this.#options;
    const { signal } = this.#abort;
    const options = {
      host,
      tls,
      timeout,
      maxResponseBytes,
      session: this.#session,
      lastZxid: this.#lastZxid,
      signal,
    };
    return ServerConnection.open(options, {
      onZxid: (zxid) => {
        if (zxid > this.#lastZxid) this.#lastZxid = zxid;
      },
      onEvent: this.#events.onEvent,
    });
  }

  #onExpired(cause: Error): void {
    this.#earlierSessions.add(this.#session.id);
    const [oldest] = this.#earlierSessions;
    if (this.#earlierSessions.size > MAX_EARLIER_SESSIONS && oldest !== undefined)
      this.#earlierSessions.delete(oldest);
    this.#session = { ...NO_SESSION, timeout: this.#options.sessionTimeout };
    this.#lastZxid = 0n;
    this.#events.onExpired();
    this.#notifyState('expired', cause);
  }

  #setState(state: ClientState, cause?: Error): void {
    if (this.#state === state || this.#state === 'closed') return;
    this.#state = state;
    this.#notifyState(state, cause);
  }

  #notifyState(state: ClientState, cause?: Error): void {
    notifyOrWarn('onState of a ZooKeeper client', () => this.#events.onState(state, cause));
  }
}

function shuffled(hosts: readonly string[]): string[] {
  const order = [...hosts];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [order[i], order[j]] = [order[j] as string, order[i] as string];
  }
  return order;
}
