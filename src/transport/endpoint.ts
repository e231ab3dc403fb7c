/** The base of servers and clients: creates sessions from connections, and closes them. */
import { refusePromise } from '../core/callbacks.js';
import { asGettyError, type GettyError, gettyError } from '../core/errors.js';
import { resources } from '../core/resource-tracker.js';
import { inTurns } from '../core/turn.js';
import { type Platform, rateLimitsOf } from './platform.js';
import type { RateLimits } from './rate/rate-limiter.js';
import type { SessionRates } from './rate/session-rates.js';
import { type SessionOwner, TransportSession } from './session/session.js';
import { type ResolvedSetup, resolveSetup } from './session/session-options.js';
import type { CloseOptions, Connection, Session, Setup } from './types.js';

/** close() closes this number of sessions before it returns. */
const CLOSED_AT_ONCE = 16;

let lastId = 0;

/** As exchangeState() of core/turn.ts. */
export function exchangeState(next = 0): number {
  const former = lastId;
  lastId = next;
  return former;
}

export abstract class BaseEndpoint<In, Out> implements SessionOwner<In, Out> {
  readonly id = ++lastId;
  abstract readonly type: 'server' | 'client';
  /** How close() and destroy() close the sessions. */
  protected readonly closeOptions: CloseOptions | undefined;
  readonly sessions = new Set<TransportSession<In, Out>>();
  /** Of all sessions together. */
  readonly #rateLimits: RateLimits | undefined;
  readonly #platform: Platform;
  readonly #setupFor: (connection: Connection) => ResolvedSetup<In, Out>;
  #closing: Promise<void> | undefined;

  /** Throws BAD_OPTION if `setup` is an invalid object. A setup function is checked per session. */
  constructor(platform: Platform, setup: Setup<In, Out>, rateLimits: RateLimits | undefined) {
    this.#platform = platform;
    this.#rateLimits = rateLimits;
    if (typeof setup === 'function')
      this.#setupFor = (connection) => {
        const result = setup(connection);
        refusePromise('BAD_OPTION', 'setup', result);
        return resolveSetup(result);
      };
    else {
      const resolved = resolveSetup(setup);
      rateLimitsOf(platform, resolved.rate, 'session');
      this.#setupFor = () => resolved;
    }
    resources.tracker?.onOpen('endpoint', this);
  }

  abstract readonly address: string;
  abstract readonly addresses: readonly string[];

  /** The address of this endpoint to which the session belongs, for its TLS. */
  addressOf(_session: Session<In, Out>): string {
    return this.address;
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Creates and opens a session. If the setup or the listener refuses it, the connection is
   * destroyed and the promise rejects.
   */
  protected async openSession(connection: Connection): Promise<TransportSession<In, Out>> {
    const session = this.createSession(connection);
    await session.open();
    return session;
  }

  /** Creates a session that is not open yet. Throws if the setup refuses it. */
  protected createSession(connection: Connection): TransportSession<In, Out> {
    let session: TransportSession<In, Out>;
    const wasClosed = this.closed;
    try {
      const setup = this.#setupFor(connection);
      // close() and destroy() do not wait for a session that does not exist yet.
      if (this.closed && !wasClosed)
        throw gettyError('ENDPOINT_CLOSED', `the setup closed the ${this.type}`);
      const compressed = this.#platform.compress(
        connection,
        setup.compression,
        setup.maxInflatedBytes,
      );
      session = new TransportSession(this, compressed, setup, this.#ratesOf(setup));
    } catch (error) {
      const refused = asGettyError(
        error,
        'SESSION_REFUSED',
        `the setup refused the session with ${connection.remoteAddress}`,
      );
      this.refuse(connection, refused);
      throw refused;
    }
    this.sessions.add(session);
    resources.tracker?.onOpen('session', session);
    return session;
  }

  /** Throws BAD_OPTION. */
  #ratesOf({ rate }: ResolvedSetup<In, Out>): SessionRates | undefined {
    const own = rateLimitsOf(this.#platform, rate, 'session');
    if (own === undefined && this.#rateLimits === undefined) return undefined;
    return this.#platform.rates?.sessionRates(own, this.#rateLimits);
  }

  /** Closes a connection that gets no session, because of `error`. */
  protected refuse(connection: Connection, _error: GettyError): void {
    connection.destroy();
  }

  onSessionClosed(session: Session<In, Out>): void {
    this.sessions.delete(session as TransportSession<In, Out>);
    resources.tracker?.onClose(session);
  }

  /** Stops listening or dialing. Called once, by the first close(). */
  protected abstract stopCreating(): Promise<void>;

  close(): Promise<void> {
    this.#closing ??= this.#close(false);
    return this.#closing;
  }

  async #close(destroys: boolean): Promise<void> {
    const stopped = this.stopCreating();
    // Without close() before, which would deliver what paused sessions hold.
    if (destroys) this.#destroySessions();
    // A session that opens while others close is closed by the next round.
    while (this.sessions.size > 0) await this.#closeSessions();
    await stopped;
    resources.tracker?.onClose(this);
  }

  /** Closes the present sessions: the first ones at once, the others in turns. */
  #closeSessions(): Promise<unknown> {
    const sessions = [...this.sessions];
    const closing = sessions
      .splice(0, CLOSED_AT_ONCE)
      .map((session) => session.close(this.closeOptions));
    return new Promise((resolve) =>
      inTurns([...sessions, undefined], (session) => {
        if (session === undefined) resolve(Promise.all(closing));
        else closing.push(session.close(this.closeOptions));
      }),
    );
  }

  destroy(): void {
    if (this.#closing === undefined) this.#closing = this.#close(true);
    else this.#destroySessions();
  }

  #destroySessions(): void {
    for (const session of this.sessions) session.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
