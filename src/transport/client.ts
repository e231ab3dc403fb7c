/** Connects to an address and reconnects, with exponential backoff and jitter. */

import { checkCallback, notifyOrWarn } from '../core/callbacks.js';
import { GettyError, gettyError } from '../core/errors.js';
import { badOption, checkNumber, withDefaults } from '../core/options.js';
import { followSignal } from '../core/signals.js';
import { backoffDelay, LONGEST_TIMER, startTimer } from '../core/timers.js';
import { settleInTurns } from '../core/turn.js';
import type { Address } from './address.js';
import { BaseEndpoint } from './endpoint.js';
import { checkClientNames } from './option-names.js';
import { type Platform, transportFor } from './platform.js';
import type { StreamSession } from './session/session.js';
import { withCompression } from './session/session-options.js';
import type {
  Client,
  ClientOptions,
  ClientState,
  Connection,
  ReconnectOptions,
  Session,
  Setup,
  Transport,
} from './types.js';

/** Milliseconds. */
export const CLIENT_DEFAULTS = { connections: 1, connectTimeout: 5_000 } satisfies ClientOptions;
export const RECONNECT_DEFAULTS = {
  initialDelay: 100,
  maxDelay: 10_000,
  retryFirst: false as boolean,
} satisfies ReconnectOptions;

/**
 * A session that ends earlier counts as a failed attempt. So a server that accepts and closes
 * connections at once does not cause a busy loop. Milliseconds.
 */
const SHORTEST_LIFE = 1_000;

/** Errors that another attempt cannot repair. */
const FINAL: readonly string[] = ['BAD_ADDRESS', 'BAD_OPTION', 'ENDPOINT_CLOSED'];

type ResolvedReconnect = typeof RECONNECT_DEFAULTS & { maxAttempts: number };
type Resolved = Pick<ClientOptions, 'tls' | 'udp' | 'websocket' | 'onState'> &
  typeof CLIENT_DEFAULTS & { reconnect: ResolvedReconnect | undefined };

class TransportClient<In, Out> extends BaseEndpoint<In, Out> implements Client<In, Out> {
  readonly type = 'client';
  readonly address: string;
  readonly #target: Address;
  readonly #transport: Transport;
  readonly #options: Resolved;
  /** Open sessions, in the order in which session() returns them. */
  #live: StreamSession<In, Out>[] = [];
  readonly #openedAt = new WeakMap<Session<In, Out>, number>();
  #next = 0;
  /** The attempt that is in progress. */
  #attempt: Promise<void> | undefined;
  #abort: AbortController | undefined;
  #dials = 0;
  #failures = 0;
  #lastFailure: GettyError | undefined;
  /** Ends the delay before the next attempt; undefined while there is no delay. */
  #endDelay: (() => void) | undefined;
  #state: ClientState = 'connecting';

  constructor(
    platform: Platform,
    target: Address,
    transport: Transport,
    setup: Setup<In, Out>,
    options: Resolved,
  ) {
    super(platform, setup);
    this.address = target.text;
    this.#target = target;
    this.#transport = transport;
    this.#options = options;
  }

  get state(): ClientState {
    return this.#state;
  }

  /** Computes the state, and calls onState if it has changed. */
  #changed(): void {
    let state: ClientState = this.#attempt === undefined ? 'down' : 'connecting';
    if (this.closed) state = 'closed';
    else if (this.#live.length > 0) state = 'ready';
    if (state === this.#state) return;
    this.#state = state;
    const { onState } = this.#options;
    if (onState === undefined) return;
    const reason = state === 'ready' || state === 'closed' ? undefined : this.#lastFailure;
    notifyOrWarn('onState', () => onState(state, reason));
  }

  /**
   * Opens the first session. A failure rejects, and there is no other attempt, unless
   * reconnect.retryFirst is set.
   */
  async connect(signal: AbortSignal | undefined): Promise<this> {
    const release = followSignal(signal, () => this.destroy());
    try {
      if (!signal?.aborted) await this.#dialFirst();
    } catch (error) {
      this.destroy();
      if (!signal?.aborted) throw error;
    } finally {
      release();
    }
    if (signal?.aborted) {
      this.destroy();
      throw gettyError(
        'ABORTED_BY_CALLER',
        `the caller gave up connecting to ${this.address}`,
        signal.reason,
      );
    }
    this.#maintain();
    return this;
  }

  get current(): Session<In, Out> | undefined {
    return this.closed ? undefined : this.#nextLive();
  }

  async #dialFirst(): Promise<void> {
    for (;;) {
      try {
        return await this.#dial();
      } catch (error) {
        const isFinal = this.closed || this.#gaveUp() || FINAL.includes((error as GettyError).code);
        if (isFinal || !this.#options.reconnect?.retryFirst) throw error;
        await this.#delay();
        if (this.closed) throw error;
      }
    }
  }

  async session(): Promise<Session<In, Out>> {
    for (;;) {
      if (this.closed)
        throw gettyError('ENDPOINT_CLOSED', `the client of ${this.address} is closed`);
      const live = this.#nextLive();
      if (live !== undefined) return live;
      if (this.#attempt === undefined) throw this.#lastFailure ?? this.#lost();
      await settleInTurns(this.#attempt).catch((error) => {
        if (!this.closed) throw error;
      });
    }
  }

  /**
   * The open sessions in turn. Sessions that are closing are still in the list, and are skipped.
   */
  #nextLive(): StreamSession<In, Out> | undefined {
    const live = this.#live;
    for (let tries = live.length; tries > 0; tries--) {
      this.#next = (this.#next + 1) % live.length;
      const session = live[this.#next] as StreamSession<In, Out>;
      if (!session.closed) return session;
    }
    return undefined;
  }

  /** `age`: how long the session was open, in ms. */
  #lost(age = Number.POSITIVE_INFINITY): GettyError {
    // A server that is full, or that rejects the certificate, closes without a reason.
    const soon =
      age < SHORTEST_LIFE
        ? ` ${Math.round(age)} ms after it was opened; did the server refuse it?`
        : '';
    const more = this.#options.reconnect === undefined ? ', and reconnect is off' : '';
    return gettyError('CONNECTION_LOST', `the session with ${this.address} was lost${soon}${more}`);
  }

  /** Decides whether to dial. Called after each change. */
  #maintain(): void {
    if (
      this.closed ||
      this.#attempt !== undefined ||
      this.#endDelay !== undefined ||
      this.#gaveUp()
    )
      return;
    const { connections, reconnect } = this.#options;
    if (this.#live.length >= connections || (reconnect === undefined && this.#dials >= connections))
      return;
    this.#dial().then(
      () => this.#maintain(),
      () => this.#maintainLater(),
    );
  }

  #maintainLater(): void {
    if (
      this.closed ||
      this.#endDelay !== undefined ||
      this.#options.reconnect === undefined ||
      this.#gaveUp()
    )
      return;
    void this.#delay().then(() => this.#maintain());
  }

  /** Resolves when the next attempt is due, and when the client is closed. */
  #delay(): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#endDelay = undefined;
        resolve();
      };
      const timer = startTimer(end, this.#nextDelay());
      this.#endDelay = end;
    });
  }

  /** Milliseconds. */
  #nextDelay(): number {
    const { initialDelay, maxDelay } = this.#options.reconnect ?? RECONNECT_DEFAULTS;
    // All clients lose a server at the same time. Their first attempts are spread over one
    // initialDelay.
    if (this.#failures === 0) return Math.min(initialDelay, maxDelay / 1.5) * (0.5 + Math.random());
    return backoffDelay(this.#failures, initialDelay, maxDelay);
  }

  #gaveUp(): boolean {
    return this.#failures >= (this.#options.reconnect?.maxAttempts ?? Number.POSITIVE_INFINITY);
  }

  /** An attempt has failed, or its session ended early. */
  #countFailure(reason: GettyError): GettyError {
    this.#failures++;
    const why = `${reason.message}; maxAttempts, ${this.#options.reconnect?.maxAttempts}, is reached`;
    this.#lastFailure = this.#gaveUp() ? new GettyError(reason.code, why, reason) : reason;
    return this.#lastFailure;
  }

  #dial(): Promise<void> {
    this.#dials++;
    const attempt = this.#dialOnce().finally(() => {
      this.#attempt = undefined;
      this.#changed();
    });
    this.#attempt = attempt;
    this.#changed();
    return attempt;
  }

  async #dialOnce(): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    const { connectTimeout } = this.#options;
    const timer = startTimer(
      () =>
        abort.abort(
          gettyError('CONNECT_FAILED', `no connection within connectTimeout, ${connectTimeout} ms`),
        ),
      connectTimeout,
    );
    try {
      const connection = await this.#transport.dial(this.#target, this.#options, abort.signal);
      await this.#opened(connection);
      this.#lastFailure = undefined;
    } catch (error) {
      throw this.#countFailure(error as GettyError);
    } finally {
      clearTimeout(timer);
      this.#abort = undefined;
    }
  }

  async #opened(connection: Connection): Promise<void> {
    if (this.closed) {
      connection.destroy();
      throw gettyError(
        'ENDPOINT_CLOSED',
        `the client of ${this.address} was closed while it connected`,
      );
    }
    const session = await this.open(connection);
    if (session.closed)
      throw gettyError('CONNECTION_LOST', `the session with ${this.address} was lost as it opened`);
    this.#openedAt.set(session, performance.now());
    this.#live.push(session);
    this.#changed();
  }

  override forget(session: Session<In, Out>): void {
    const before = this.#live.length;
    this.#live = this.#live.filter((other) => other !== session);
    super.forget(session);
    if (this.#live.length === before) return;
    const age = performance.now() - (this.#openedAt.get(session) ?? 0);
    if (age < SHORTEST_LIFE) this.#countFailure(this.#lost(age));
    else {
      this.#failures = 0;
      this.#lastFailure = this.#lost(age);
    }
    this.#maintainLater();
    this.#changed();
  }

  protected override async stop(): Promise<void> {
    queueMicrotask(() => this.#changed());
    this.#endDelay?.();
    this.#abort?.abort(gettyError('ENDPOINT_CLOSED', `the client of ${this.address} was closed`));
    await this.#attempt?.catch(() => {});
  }
}

/** connect() of a platform. */
export async function connectOn<In, Out>(
  platform: Platform,
  address: string,
  setup: Setup<In, Out>,
  options: ClientOptions = {},
): Promise<Client<In, Out>> {
  const target = transportFor(platform, address);
  checkClientNames(options, target.address);
  const checked = withDefaults(CLIENT_DEFAULTS, options, {
    connections: [1, 10_000],
    connectTimeout: [1, LONGEST_TIMER],
  });
  const resolved = {
    tls: options.tls,
    udp: options.udp,
    websocket: withCompression(options.websocket, setup),
    onState: options.onState,
    reconnect: resolveReconnect(options.reconnect),
    ...checked,
  };
  checkCallback('onState', options.onState);
  return new TransportClient<In, Out>(
    platform,
    target.address,
    target.transport,
    setup,
    resolved,
  ).connect(options.signal);
}

function resolveReconnect(given: ClientOptions['reconnect']): ResolvedReconnect | undefined {
  if (given === false) return undefined;
  if (given === undefined || given === true)
    return { maxAttempts: Number.POSITIVE_INFINITY, ...RECONNECT_DEFAULTS };
  if (typeof given !== 'object')
    throw badOption(
      'reconnect',
      given,
      'true, false, or { initialDelay, maxDelay, maxAttempts, retryFirst }',
    );
  const maxAttempts = given?.maxAttempts ?? Number.POSITIVE_INFINITY;
  checkNumber('reconnect.maxAttempts', maxAttempts, 1, Number.POSITIVE_INFINITY);
  const delays = withDefaults(RECONNECT_DEFAULTS, given, {
    initialDelay: [1, LONGEST_TIMER],
    maxDelay: [1, LONGEST_TIMER],
  });
  return { maxAttempts, ...delays };
}
