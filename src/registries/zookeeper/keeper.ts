/**
 * Keeps one session alive: dials the hosts in turn with jittered backoff, takes the session up
 * again, and begins a new one when it has expired.
 */
import { notifyOrWarn } from '../../core/callbacks.js';
import { pause } from '../../core/timers.js';
import type { TlsOptions } from '../../transport/index.js';
import { reasonOf } from './errors.js';
import { Link, type LinkEvents } from './link.js';
import { NO_SESSION, type SessionIdentity } from './protocol.js';
import type { ClientState } from './types.js';

export interface KeeperOptions {
  readonly hosts: readonly string[];
  readonly sessionTimeout: number;
  readonly initialDelay: number;
  readonly maxDelay: number;
  readonly maxResponseBytes: number;
  readonly tls: TlsOptions | undefined;
}

export interface KeeperEvents {
  onEvent: LinkEvents['onEvent'];
  /** A server has taken the session. */
  onLink(link: Link): void;
  /** The session is over, and its watches and ephemeral nodes with it. */
  onExpired(): void;
  onState(state: ClientState, cause?: Error): unknown;
}

/**
 * A connection that ends sooner counts as a failed attempt, so that being accepted and dropped
 * makes no hot loop.
 */
const SHORTEST_LIFE = 1_000;
/** Of the session's timeout: with the silence before it, less than the whole. */
const FIRST_PATIENCE = 1 / 6;
const LONGEST_FIRST_PATIENCE = 2_500;
/** Sessions of the past whose entries are known as our own; far more than can be alive. */
const MAX_FORMER = 100;

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #events: KeeperEvents;
  /** In an order of this client's own, so that clients spread over the servers. */
  readonly #hosts: readonly string[];
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #session: SessionIdentity;
  /** Of the session: as it was granted, or as we want it before. */
  #timeout: number;
  readonly #former = new Set<bigint>();
  #lastZxid = 0n;
  #state: ClientState = 'connecting';
  /** Attempts in a row that a server has accepted and not answered. */
  #slow = 0;
  /** When a server last had the session, by performance.now(). */
  #contactAt = 0;
  link: Link | undefined;
  /** Why there is no connection. */
  lastFailure: Error | undefined;

  constructor(options: KeeperOptions, events: KeeperEvents) {
    this.#options = options;
    this.#events = events;
    this.#hosts = shuffled(options.hosts);
    this.#session = { ...NO_SESSION, timeout: options.sessionTimeout };
    this.#timeout = options.sessionTimeout;
  }

  get state(): ClientState {
    return this.#state;
  }

  /** 0n: there is none. */
  get sessionId(): bigint {
    return this.#session.id;
  }

  get lastZxid(): bigint {
    return this.#lastZxid;
  }

  /** Whether this is the session, or one that it followed. */
  isOwn(session: bigint): boolean {
    return session !== 0n && (session === this.#session.id || this.#former.has(session));
  }

  get isStarted(): boolean {
    return this.#running !== undefined;
  }

  start(): void {
    if (this.#running !== undefined) return;
    this.#contactAt = performance.now();
    this.#running = this.#run(this.#abort.signal);
  }

  /** Drop the connection and dial no more. What is under way fails with `reason` as its cause. */
  async stop(reason: Error): Promise<void> {
    this.#abort.abort(reason);
    this.#say('closed');
    this.link?.destroy(reason);
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const hosts = this.#hosts.length;
    let failed = 0;
    for (let attempt = 0; !signal.aborted; attempt++) {
      if (attempt > 0) await pause(this.#delay(failed), signal);
      if (signal.aborted) return;
      const lived = await this.#attempt(this.#hosts[attempt % hosts] as string);
      if (lived >= SHORTEST_LIFE) failed = 0;
      // A host that has fallen silent has been tried, in a way.
      if (lived < SHORTEST_LIFE || reasonOf(this.lastFailure) === 'SILENT') failed++;
      if (failed >= hosts) this.#say('away', this.lastFailure);
    }
  }

  /** The other hosts at once, as the session may end soon; all of them again after a while. */
  #delay(failed: number): number {
    const { initialDelay, maxDelay } = this.#options;
    if (failed === 0) return Math.random() * initialDelay;
    if (failed % this.#hosts.length !== 0) return 0;
    const rounds = failed / this.#hosts.length;
    return (
      Math.min(maxDelay, initialDelay * 2 ** Math.min(rounds - 1, 30)) * (0.5 + Math.random() / 2)
    );
  }

  /**
   * Milliseconds for one attempt. Short, so that the next host is asked while the session lives,
   * and since a server that starts may forget whom it has accepted; longer after each server that
   * did not answer in time, since a slow one may be all there is.
   */
  #patience(): number {
    const first = Math.min(LONGEST_FIRST_PATIENCE, Math.ceil(this.#timeout * FIRST_PATIENCE));
    return Math.min(this.#timeout, first * 2 ** Math.min(this.#slow, 10));
  }

  /**
   * One host until it is lost again. Answers for how many milliseconds it had the session; 0: it
   * did not take it.
   */
  async #attempt(host: string): Promise<number> {
    let link: Link;
    try {
      link = await this.#open(host, this.#patience());
    } catch (error) {
      this.#slow = reasonOf(error) === 'OPERATION_TIMEOUT' ? this.#slow + 1 : 0;
      if (!this.#abort.signal.aborted) this.lastFailure = error as Error;
      return 0;
    }
    const began = performance.now();
    this.#slow = 0;
    this.#session = { ...link.granted, timeout: this.#options.sessionTimeout };
    this.#timeout = link.granted.timeout;
    this.link = link;
    this.#say('connected');
    this.#events.onLink(link);
    this.lastFailure = await link.ended;
    this.link = undefined;
    this.#contactAt = performance.now();
    if (this.#state === 'connected') this.#state = 'connecting';
    return this.#contactAt - began;
  }

  async #open(host: string, timeout: number): Promise<Link> {
    try {
      return await this.#dial(host, timeout);
    } catch (error) {
      if (this.#session.id === 0n || !this.#isOver(error as Error)) throw error;
      this.#expire(error as Error);
      return this.#dial(host, timeout);
    }
  }

  #isOver(error: Error): boolean {
    const reason = reasonOf(error);
    if (reason === 'SESSION_EXPIRED') return true;
    // A server whose data was lost has seen less than we have, and refuses us for that. By now no
    // server can have the session still, but for those that were all away; then our entries are
    // known by their owner, and replaced.
    return reason === 'REFUSED' && performance.now() - this.#contactAt > 2 * this.#timeout;
  }

  #dial(host: string, timeout: number): Promise<Link> {
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
    return Link.open(options, {
      onZxid: (zxid) => {
        if (zxid > this.#lastZxid) this.#lastZxid = zxid;
      },
      onEvent: this.#events.onEvent,
    });
  }

  #expire(cause: Error): void {
    this.#former.add(this.#session.id);
    const [oldest] = this.#former;
    if (this.#former.size > MAX_FORMER && oldest !== undefined) this.#former.delete(oldest);
    this.#session = { ...NO_SESSION, timeout: this.#options.sessionTimeout };
    this.#lastZxid = 0n;
    this.#events.onExpired();
    this.#tell('expired', cause);
  }

  #say(state: ClientState, cause?: Error): void {
    if (this.#state === state || this.#state === 'closed') return;
    this.#state = state;
    this.#tell(state, cause);
  }

  #tell(state: ClientState, cause?: Error): void {
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
