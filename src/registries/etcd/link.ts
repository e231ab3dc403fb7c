/**
 * The way to a cluster: one connection, to a member that answers; another member when it fails. It
 * tells of an outage once, and when it is over.
 */
import { Code, ConnectError } from '@connectrpc/connect';
import { gettyError } from '../../core/errors.js';
import type { Logger } from '../../core/logger.js';
import { followSignal } from '../../core/signals.js';
import { Outage } from '../shared/outage.js';
import { Connection, type ConnectionOptions } from './connection.js';
import { startDeadline } from './deadline.js';
import type { Endpoint } from './endpoints.js';
import { isAuthDisabled, isLate, isRefusal, isTokenRefused, reasonOf } from './failure.js';

export interface LinkOptions extends ConnectionOptions {
  /** Milliseconds for one request. */
  readonly requestTimeout: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Without one, an outage is a warning of the process. */
  readonly logger: Logger | undefined;
}

/** What a request is given besides its message. */
export interface RequestOptions {
  readonly headers: Record<string, string>;
  readonly signal: AbortSignal;
}

/**
 * How many times longer than `requestTimeout` a request may take after requests that were not
 * answered in time.
 */
const MOST_PATIENCE = 4;

export class Link {
  readonly #endpoints: readonly Endpoint[];
  readonly #options: LinkOptions;
  readonly #closing = new AbortController();
  /**
   * The member that is tried next; random at first, so that the clients of a cluster spread over
   * it.
   */
  #next: number;
  #connection: Connection | undefined;
  /** Connected, and not let in yet. */
  #candidate: Connection | undefined;
  #dialing: Promise<Connection> | undefined;
  readonly #outage: Outage;
  /** In a row. */
  #failures = 0;
  #patience = 1;
  #hasAnswered = false;

  constructor(endpoints: readonly Endpoint[], options: LinkOptions) {
    this.#endpoints = endpoints;
    this.#options = options;
    this.#next = Math.floor(Math.random() * endpoints.length);
    this.#outage = new Outage(`etcd at ${this.name}`, { endpoints: this.name }, options.logger);
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** As many failures in a row as there are members: it is not just one of them. */
  get exhausted(): boolean {
    return this.#failures >= this.#endpoints.length;
  }

  /** The members, for messages. */
  get name(): string {
    return this.#endpoints.map(({ text }) => text).join(', ');
  }

  /** Why the cluster cannot be asked; undefined: it can, or it was not tried. */
  get failure(): Error | undefined {
    const isAsked = this.#connection !== undefined || this.#dialing !== undefined;
    if (this.#outage.failure !== undefined || this.#hasAnswered || !isAsked)
      return this.#outage.failure;
    return gettyError('REGISTRY_FAILED', `etcd at ${this.name} has not answered yet`);
  }

  /**
   * The present connection, or a new one: every member is tried once. Rejects with the reason of
   * the last one.
   */
  connection(): Promise<Connection> {
    if (this.closed)
      return Promise.reject(new ConnectError('the registry is closed', Code.Canceled));
    if (this.#connection !== undefined && !this.#connection.over)
      return Promise.resolve(this.#connection);
    // Whoever needs it meanwhile waits for the same attempt.
    this.#dialing ??= this.#dial().finally(() => {
      this.#dialing = undefined;
    });
    return this.#dialing;
  }

  async #dial(): Promise<Connection> {
    let failure: unknown;
    for (let left = this.#endpoints.length; left > 0; left--) {
      const endpoint = this.#endpoints[this.#next] as Endpoint;
      try {
        const connection = await Connection.dial(endpoint, this.#options, this.#closing.signal);
        this.#candidate = connection;
        await this.#authenticate(connection);
        this.#connection = connection;
        return connection;
      } catch (error) {
        failure = error;
        this.#outage.onFailure(error, reasonOf(error));
        this.#candidate?.close(new ConnectError('another member is tried', Code.Unavailable));
        this.#next = (this.#next + 1) % this.#endpoints.length;
        if (this.closed) break;
      } finally {
        this.#candidate = undefined;
      }
    }
    this.#failures = this.#endpoints.length;
    this.tell(failure);
    throw failure;
  }

  async #authenticate(connection: Connection): Promise<void> {
    const { username: name, password } = this.#options;
    if (name === undefined) return;
    connection.token = undefined;
    try {
      const { token } = await this.#inTime(
        connection,
        ({ signal }) => connection.auth.authenticate({ name, password }, { signal }),
        false,
      );
      connection.token = token;
    } catch (error) {
      // The server lets everybody in.
      if (!isAuthDisabled(error)) throw error;
    }
  }

  /**
   * Make a request. A refused token is renewed once. Rejects with Connect's error; unless that is
   * the server's refusal, the connection is given up.
   */
  call<T>(connection: Connection, request: (options: RequestOptions) => Promise<T>): Promise<T> {
    return this.#call(connection, request, false);
  }

  /**
   * As call(), for an answer that may be long: it may take as long as something is read at least
   * once in `requestTimeout` ms.
   */
  callWhileReading<T>(
    connection: Connection,
    request: (options: RequestOptions) => Promise<T>,
  ): Promise<T> {
    return this.#call(connection, request, true);
  }

  async #call<T>(
    connection: Connection,
    request: (options: RequestOptions) => Promise<T>,
    mayGoOn: boolean,
  ): Promise<T> {
    try {
      const answer = await this.#tryTwice(connection, request, mayGoOn);
      this.#failures = 0;
      this.#patience = 1;
      this.#hasAnswered = true;
      this.#outage.end('etcd is back');
      return answer;
    } catch (error) {
      // A cluster that many clients come to at once answers late. Asking again as often as before
      // would make it later still.
      if (isLate(error)) this.#patience = Math.min(this.#patience * 2, MOST_PATIENCE);
      this.failed(connection, error);
      throw error;
    }
  }

  async #tryTwice<T>(
    connection: Connection,
    request: (options: RequestOptions) => Promise<T>,
    mayGoOn: boolean,
  ): Promise<T> {
    const { token } = connection;
    try {
      return await this.#inTime(connection, request, mayGoOn);
    } catch (error) {
      if (this.#options.username === undefined || !isTokenRefused(error)) throw error;
      // Somebody else may have renewed it meanwhile.
      if (connection.token === token) await this.#authenticate(connection);
      return this.#inTime(connection, request, mayGoOn);
    }
  }

  async #inTime<T>(
    connection: Connection,
    request: (options: RequestOptions) => Promise<T>,
    mayGoOn: boolean,
  ): Promise<T> {
    const { gone } = connection;
    const abort = new AbortController();
    const release = followSignal(gone, () => abort.abort(gone.reason));
    if (gone.aborted) abort.abort(gone.reason);
    let { reads } = connection;
    const limit = this.#options.requestTimeout * this.#patience;
    const stop = startDeadline(limit, () => {
      const goesOn = mayGoOn && connection.reads !== reads;
      ({ reads } = connection);
      if (!goesOn)
        abort.abort(new ConnectError(`no answer within ${limit} ms`, Code.DeadlineExceeded));
      return goesOn;
    });
    try {
      return await request({ headers: connection.headers, signal: abort.signal });
    } finally {
      stop();
      release();
    }
  }

  /**
   * A request or a stream of this connection failed. The next connection is to another member, if
   * there is one.
   */
  failed(connection: Connection, error: unknown): void {
    // The answer is clear, and another member would give the same.
    if (isRefusal(error) || (error instanceof ConnectError && error.code === Code.NotFound)) return;
    if (connection === this.#connection) {
      this.#outage.onFailure(error, reasonOf(error));
      this.#connection = undefined;
      this.#failures++;
      this.#next = (this.#next + 1) % this.#endpoints.length;
    }
    connection.close(new ConnectError(`given up: ${reasonOf(error)}`, Code.Unavailable));
  }

  /**
   * The cluster is away: told once per outage, and not while there are members that were not tried.
   */
  tell(error: unknown): void {
    if (this.closed || !(this.exhausted || isRefusal(error))) return;
    const what = isRefusal(error) ? 'refuses what it is asked' : 'is away';
    this.#outage.begin(
      what,
      error,
      `etcd ${what}, trying again: ${reasonOf(error)}`,
      reasonOf(error),
    );
  }

  async close(): Promise<void> {
    const reason = new ConnectError('the registry is closed', Code.Unavailable);
    this.#closing.abort(reason);
    this.#candidate?.close(reason);
    await this.#dialing?.catch(() => {});
    this.#connection?.close(reason);
  }
}
