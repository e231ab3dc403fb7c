/** Connects to an address, and keeps sessions with it open. */
import { notifyOrWarn } from '../core/callbacks.js';
import { type GettyError, gettyError } from '../core/errors.js';
import { followSignal } from '../core/signals.js';
import { startTimer } from '../core/timers.js';
import { settleInTurns } from '../core/turn.js';
import type { Address } from './address.js';
import { type ResolvedClientOptions, resolveClientOptions } from './client-options.js';
import { BaseEndpoint } from './endpoint.js';
import { checkClientNames } from './option-names.js';
import { type Platform, transportFor } from './platform.js';
import { MIN_SESSION_AGE, ReconnectSchedule } from './reconnect-schedule.js';
import type { TransportSession } from './session/session.js';
import { withCompression } from './session/session-options.js';
import type {
  Client,
  ClientOptions,
  ClientState,
  Connection,
  Session,
  Setup,
  Transport,
} from './types.js';

export { CLIENT_DEFAULTS } from './client-options.js';
export { RECONNECT_DEFAULTS } from './reconnect-schedule.js';

/** Codes of errors that another attempt cannot repair. */
const PERMANENT_ERRORS: readonly string[] = ['BAD_ADDRESS', 'BAD_OPTION', 'ENDPOINT_CLOSED'];

class TransportClient<In, Out> extends BaseEndpoint<In, Out> implements Client<In, Out> {
  readonly type = 'client';
  readonly address: string;
  readonly #target: Address;
  readonly #transport: Transport;
  readonly #options: ResolvedClientOptions;
  readonly #schedule: ReconnectSchedule;
  /** Sessions whose onOpen has settled, in the order in which session() returns them. */
  #openSessions: TransportSession<In, Out>[] = [];
  readonly #openedAt = new WeakMap<Session<In, Out>, number>();
  /** The index of the session that was returned last. */
  #lastReturned = 0;
  /** The attempt that is in progress. */
  #attempt: Promise<void> | undefined;
  #attemptAbort: AbortController | undefined;
  #attemptCount = 0;
  #lastFailure: GettyError | undefined;
  #state: ClientState = 'connecting';

  constructor(
    platform: Platform,
    target: Address,
    transport: Transport,
    setup: Setup<In, Out>,
    options: ResolvedClientOptions,
  ) {
    super(platform, setup);
    this.address = target.text;
    this.#target = target;
    this.#transport = transport;
    this.#options = options;
    this.#schedule = new ReconnectSchedule(options.reconnect);
  }

  get state(): ClientState {
    return this.#state;
  }

  get current(): Session<In, Out> | undefined {
    return this.closed ? undefined : this.#nextSession();
  }

  async session(): Promise<Session<In, Out>> {
    for (;;) {
      if (this.closed) throw this.#closedError();
      const session = this.#nextSession();
      if (session !== undefined) return session;
      if (this.#attempt === undefined) throw this.#lastFailure ?? this.#lossError();
      await settleInTurns(this.#attempt).catch((error) => {
        if (!this.closed) throw error;
      });
    }
  }

  /**
   * The open sessions in turn. Sessions that are closing are still in the list; they are skipped.
   */
  #nextSession(): TransportSession<In, Out> | undefined {
    const sessions = this.#openSessions;
    for (let tries = sessions.length; tries > 0; tries--) {
      this.#lastReturned = (this.#lastReturned + 1) % sessions.length;
      const session = sessions[this.#lastReturned] as TransportSession<In, Out>;
      if (!session.closed) return session;
    }
    return undefined;
  }

  /**
   * Opens the first session. A failure rejects, and there is no other attempt, unless
   * reconnect.retryFirst is set.
   */
  async connect(signal: AbortSignal | undefined): Promise<this> {
    const release = followSignal(signal, () => this.destroy());
    try {
      if (!signal?.aborted) await this.#openFirstSession();
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
        `the signal of connect() to ${this.address} was aborted`,
        signal.reason,
      );
    }
    this.#openMissingSessions();
    return this;
  }

  async #openFirstSession(): Promise<void> {
    for (;;) {
      try {
        return await this.#startAttempt();
      } catch (error) {
        const isPermanent =
          this.closed ||
          this.#schedule.isExhausted ||
          PERMANENT_ERRORS.includes((error as GettyError).code);
        if (isPermanent || !this.#schedule.retriesFirst) throw error;
        await this.#schedule.delay();
        if (this.closed) throw error;
      }
    }
  }

  /** Starts an attempt if a session is missing and an attempt is due. Called after each change. */
  #openMissingSessions(): void {
    if (this.closed || this.#attempt !== undefined || !this.#schedule.mayDial) return;
    const { connections } = this.#options;
    if (this.#openSessions.length >= connections) return;
    if (!this.#schedule.isEnabled && this.#attemptCount >= connections) return;
    this.#startAttempt().then(
      () => this.#openMissingSessions(),
      () => this.#openMissingSessionsLater(),
    );
  }

  #openMissingSessionsLater(): void {
    if (this.closed || !this.#schedule.isEnabled || !this.#schedule.mayDial) return;
    void this.#schedule.delay().then(() => this.#openMissingSessions());
  }

  #startAttempt(): Promise<void> {
    this.#attemptCount++;
    const attempt = this.#dial().finally(() => {
      this.#attempt = undefined;
      this.#updateState();
    });
    this.#attempt = attempt;
    this.#updateState();
    return attempt;
  }

  async #dial(): Promise<void> {
    const abort = new AbortController();
    this.#attemptAbort = abort;
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
      await this.#addSession(connection);
      this.#lastFailure = undefined;
    } catch (error) {
      this.#lastFailure = this.#schedule.countFailure(error as GettyError);
      throw this.#lastFailure;
    } finally {
      clearTimeout(timer);
      this.#attemptAbort = undefined;
    }
  }

  async #addSession(connection: Connection): Promise<void> {
    if (this.closed) {
      connection.destroy();
      throw this.#closedError();
    }
    const session = await this.openSession(connection);
    if (session.closed)
      throw gettyError(
        'CONNECTION_LOST',
        `the session with ${this.address} was lost before onOpen had settled`,
      );
    this.#openedAt.set(session, performance.now());
    this.#openSessions.push(session);
    this.#updateState();
  }

  override onSessionClosed(session: Session<In, Out>): void {
    super.onSessionClosed(session);
    const remaining = this.#openSessions.filter((other) => other !== session);
    const wasOpen = remaining.length < this.#openSessions.length;
    this.#openSessions = remaining;
    if (!wasOpen) return;
    const age = performance.now() - (this.#openedAt.get(session) ?? 0);
    this.#lastFailure = this.#schedule.countLoss(this.#lossError(age), age);
    this.#openMissingSessionsLater();
    this.#updateState();
  }

  /** `age`: how long the session was open, in ms. */
  #lossError(age = Number.POSITIVE_INFINITY): GettyError {
    // A server that is full, or that rejects the certificate, closes without a reason.
    const hint =
      age < MIN_SESSION_AGE
        ? ` ${Math.round(age)} ms after it was opened; did the server refuse it?`
        : '';
    const suffix = this.#schedule.isEnabled ? '' : ', and reconnect is off';
    return gettyError(
      'CONNECTION_LOST',
      `the session with ${this.address} was lost${hint}${suffix}`,
    );
  }

  #closedError(): GettyError {
    return gettyError('ENDPOINT_CLOSED', `the client of ${this.address} is closed`);
  }

  /** Computes the state, and calls onState if it has changed. */
  #updateState(): void {
    let state: ClientState = this.#attempt === undefined ? 'down' : 'connecting';
    if (this.closed) state = 'closed';
    else if (this.#openSessions.length > 0) state = 'ready';
    if (state === this.#state) return;
    this.#state = state;
    const { onState } = this.#options;
    if (onState === undefined) return;
    const reason = state === 'ready' || state === 'closed' ? undefined : this.#lastFailure;
    notifyOrWarn('onState', () => onState(state, reason));
  }

  protected override async stopCreating(): Promise<void> {
    queueMicrotask(() => this.#updateState());
    this.#schedule.endDelay();
    this.#attemptAbort?.abort(this.#closedError());
    await this.#attempt?.catch(() => {});
  }
}

/** connect() with the transports of `platform`. */
export async function connectOn<In, Out>(
  platform: Platform,
  address: string,
  setup: Setup<In, Out>,
  options: ClientOptions = {},
): Promise<Client<In, Out>> {
  const target = transportFor(platform, address);
  checkClientNames(options, target.address);
  const checked = resolveClientOptions(options);
  const resolved = { ...checked, websocket: withCompression(options.websocket, setup) };
  return new TransportClient<In, Out>(
    platform,
    target.address,
    target.transport,
    setup,
    resolved,
  ).connect(options.signal);
}
