/** Connects to a server, and keeps sessions with it open. */
import { notifyOrWarn } from '../../core/callbacks.js';
import { type GettyError, gettyError } from '../../core/errors.js';
import { checkSignal, followSignal, reasonOf } from '../../core/signals.js';
import { startTimer } from '../../core/timers.js';
import { settleInTurns } from '../../core/turn.js';
import { describeClose, isOrderlyClose } from '../close-code.js';
import { BaseEndpoint } from '../endpoint.js';
import { checkClientNames } from '../option-names.js';
import { addressList, type Platform, rateLimitsOf, type Target, targetOf } from '../platform.js';
import type { TransportSession } from '../session/session.js';
import { withCompression } from '../session/session-options.js';
import type {
  Client,
  ClientAddress,
  ClientOptions,
  ClientState,
  Connection,
  Session,
  Setup,
} from '../types.js';
import { type ResolvedClientOptions, resolveClientOptions } from './client-options.js';
import {
  HAS_GIVEN_UP,
  type InternalClient,
  OpenSessions,
  REPLACE_SESSION,
} from './open-sessions.js';
import { MIN_SESSION_AGE, ReconnectSchedule } from './reconnect-schedule.js';
import { attemptError, ServerAddresses } from './server-addresses.js';

export { CLIENT_DEFAULTS } from './client-options.js';
export { RECONNECT_DEFAULTS } from './reconnect-schedule.js';

/** Codes of errors with which every further attempt would fail too. */
const PERMANENT_ERRORS: readonly string[] = ['BAD_ADDRESS', 'BAD_OPTION', 'ENDPOINT_CLOSED'];

class TransportClient<In, Out>
  extends BaseEndpoint<In, Out>
  implements Client<In, Out>, InternalClient<In, Out>
{
  readonly type = 'client';
  readonly address: string;
  readonly addresses: readonly string[];
  readonly #servers: ServerAddresses;
  /** The address of each session. */
  readonly #addressOf = new WeakMap<Session<In, Out>, string>();
  /** The address that was dialed last. */
  #dialed = '';
  /** The addresses for messages. */
  readonly #text: string;
  readonly #options: ResolvedClientOptions;
  readonly #schedule: ReconnectSchedule;
  /** Sessions whose onOpen has settled. A session that is replaced is removed. */
  readonly #openSessions = new OpenSessions<In, Out>();
  /** The attempt that is in progress. */
  #attempt: Promise<void> | undefined;
  #attemptAbort: AbortController | undefined;
  #attemptCount = 0;
  reconnectAttempts = 0;
  /** Whether the next attempt replaces a session. session() starts such an attempt at once. */
  #isReplacing = false;
  #lastFailure: GettyError | undefined;
  #state: ClientState = 'connecting';

  constructor(
    platform: Platform,
    targets: readonly [Target, ...Target[]],
    setup: Setup<In, Out>,
    options: ResolvedClientOptions,
  ) {
    super(platform, setup, rateLimitsOf(platform, options.rate, 'client'));
    this.#servers = new ServerAddresses(targets);
    this.address = targets[0].address.text;
    this.addresses = targets.map(({ address }) => address.text);
    this.#text = this.addresses.join(', ');
    this.#options = options;
    this.#schedule = new ReconnectSchedule(options.reconnect);
  }

  get state(): ClientState {
    return this.#state;
  }

  get current(): Session<In, Out> | undefined {
    return this.closed ? undefined : this.#openSessions.next();
  }

  async session(): Promise<Session<In, Out>> {
    for (;;) {
      if (this.closed) throw this.#closedError();
      const session = this.#openSessions.next();
      if (session !== undefined) return session;
      if (this.#isReplacing) {
        this.#schedule.endDelay();
        this.#openMissingSessions();
      }
      if (this.#attempt === undefined) throw this.#lastFailure ?? this.#lossError();
      await settleInTurns(this.#attempt).catch((error) => {
        if (!this.closed) throw error;
      });
    }
  }

  /**
   * Opens the first session. Without reconnect.retryFirst there is one attempt, and connect()
   * rejects if it fails.
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
        `the signal of connect() to ${this.#text} was aborted`,
        reasonOf(signal),
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
    if (this.#openSessions.size >= connections) return;
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
    this.reconnectAttempts++;
    this.#isReplacing = false;
    const attempt = this.#dial().finally(() => {
      this.#attempt = undefined;
      this.#updateState();
    });
    this.#attempt = attempt;
    this.#updateState();
    return attempt;
  }

  /** One attempt: dials the addresses in turn, until one of them has a session. */
  async #dial(): Promise<void> {
    const failures: GettyError[] = [];
    for (const target of this.#servers.inTurn()) {
      try {
        await this.#dialTarget(target);
        this.#lastFailure = undefined;
        return;
      } catch (error) {
        const failure = error as GettyError;
        const isPermanent = this.closed || PERMANENT_ERRORS.includes(failure.code);
        if (isPermanent) failures.length = 0;
        failures.push(failure);
        if (isPermanent) break;
        this.#servers.skip(target.address.text);
      }
    }
    this.#lastFailure = this.#schedule.countFailure(attemptError(failures));
    throw this.#lastFailure;
  }

  async #dialTarget({ address, transport }: Target): Promise<void> {
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
      const connection = await transport.dial(address, this.#options, abort.signal);
      this.#dialed = address.text;
      await this.#addSession(connection);
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
        `the session with ${this.addressOf(session)} was lost before onOpen had settled`,
      );
    this.#openSessions.add(session);
    this.reconnectAttempts = 0;
    this.#updateState();
  }

  protected override createSession(connection: Connection): TransportSession<In, Out> {
    const session = super.createSession(connection);
    this.#addressOf.set(session, this.#dialed);
    return session;
  }

  override addressOf(session: Session<In, Out>): string {
    return this.#addressOf.get(session) as string;
  }

  override onSessionClosed(session: Session<In, Out>): void {
    super.onSessionClosed(session);
    this.#onRemoved(session, false);
  }

  get [HAS_GIVEN_UP](): boolean {
    return !this.#schedule.isEnabled || this.#schedule.isExhausted;
  }

  [REPLACE_SESSION](session: Session<In, Out>): void {
    this.#onRemoved(session, true);
  }

  #onRemoved(session: Session<In, Out>, isReplaced: boolean): void {
    const age = this.#openSessions.remove(session);
    if (age === undefined) return;
    const address = this.addressOf(session);
    // An address whose server closes, refuses the client or is silent is not the next one.
    const hasServed = age >= MIN_SESSION_AGE && session.stats.bytesRead > 0;
    if (isReplaced || !hasServed) this.#servers.skip(address);
    const reason = isReplaced
      ? gettyError('CONNECTION_LOST', `the server at ${address} is closing`)
      : this.#lossError(describeEnd(session, age), address);
    this.#lastFailure = this.#schedule.countLoss(reason, age);
    // A server that ends each session within MIN_SESSION_AGE is dialed with delays.
    if (isReplaced && age >= MIN_SESSION_AGE && this.#attempt === undefined)
      this.#isReplacing = true;
    this.#openMissingSessionsLater();
    this.#updateState();
  }

  /** `how`: see describeEnd(). `address`: of the server. */
  #lossError(how = '', address = this.#text): GettyError {
    const suffix = this.#schedule.isEnabled ? '' : ', and reconnect is off';
    return gettyError('CONNECTION_LOST', `the session with ${address} was lost${how}${suffix}`);
  }

  #closedError(): GettyError {
    return gettyError('ENDPOINT_CLOSED', `the client of ${this.#text} is closed`);
  }

  /** Computes the state, and calls onState if it has changed. */
  #updateState(): void {
    let state: ClientState = this.#attempt === undefined ? 'down' : 'connecting';
    if (this.closed) state = 'closed';
    else if (this.#openSessions.size > 0) state = 'ready';
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

/** How a session was lost, as the end of a sentence. `age`: how long it was open, in ms. */
function describeEnd({ closeCode, closeReason }: Session<never>, age: number): string {
  // Undefined: no close frame of a WebSocket has arrived.
  if (closeReason !== undefined)
    return isOrderlyClose(closeCode) ? '' : `: the server ${describeClose(closeCode, closeReason)}`;
  // A server that is full, or that rejects the certificate, closes without a reason.
  if (age >= MIN_SESSION_AGE) return '';
  return ` ${Math.round(age)} ms after it was opened; did the server refuse it?`;
}

/** connect() with the transports of `platform`. */
export async function connectOn<In, Out>(
  platform: Platform,
  address: ClientAddress | readonly ClientAddress[],
  setup: Setup<In, Out>,
  options: ClientOptions = {},
): Promise<Client<In, Out>> {
  const targets = addressList(address).map((one) => targetOf(platform, one, 'connect()'));
  const addresses = targets.map((target) => target.address);
  checkClientNames(options, addresses);
  const checked = resolveClientOptions(options, addresses);
  checkSignal(options.signal);
  const resolved = {
    ...checked,
    socket: platform.sockets?.ofClient(options, addresses),
    websocket: withCompression(options.websocket, setup),
  };
  return new TransportClient<In, Out>(
    platform,
    targets as [Target, ...Target[]],
    setup,
    resolved,
  ).connect(options.signal);
}
