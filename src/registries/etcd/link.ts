/** The way to a cluster: one connection, to a member that answers; another member when it fails. It tells of an outage once, and when it is over. */
import { Code, ConnectError } from '@connectrpc/connect';
import type { Logger } from '../../core/logger.js';
import { Connection, type ConnectionOptions } from './connection.js';
import type { Endpoint } from './endpoints.js';
import { isAuthDisabled, isRefusal, isTokenRefused, reasonOf } from './failure.js';

export interface LinkOptions extends ConnectionOptions {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly logger: Logger;
}

/** What a request is given besides its message. */
export interface RequestOptions {
  readonly headers: Record<string, string>;
  readonly signal: AbortSignal;
}

export class Link {
  readonly #endpoints: readonly Endpoint[];
  readonly #options: LinkOptions;
  readonly #closing = new AbortController();
  /** The member that is tried next; random at first, so that the clients of a cluster spread over it. */
  #next: number;
  #connection: Connection | undefined;
  /** Connected, and not let in yet. */
  #candidate: Connection | undefined;
  #dialing: Promise<Connection> | undefined;
  #away = false;
  /** In a row. */
  #failures = 0;

  constructor(endpoints: readonly Endpoint[], options: LinkOptions) {
    this.#endpoints = endpoints;
    this.#options = options;
    this.#next = Math.floor(Math.random() * endpoints.length);
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

  /** The present connection, or a new one: every member is tried once. Rejects with the reason of the last one. */
  connection(): Promise<Connection> {
    if (this.closed) return Promise.reject(new ConnectError('the registry is closed', Code.Canceled));
    if (this.#connection !== undefined && !this.#connection.over) return Promise.resolve(this.#connection);
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
      const { token } = await connection.auth.authenticate({ name, password }, { signal: connection.gone });
      connection.token = token;
    } catch (error) {
      // The server lets everybody in.
      if (!isAuthDisabled(error)) throw error;
    }
  }

  /**
   * Make a request. A refused token is renewed once. Rejects with Connect's error; unless that is the server's refusal, the
   * connection is given up.
   */
  async call<T>(connection: Connection, request: (options: RequestOptions) => Promise<T>): Promise<T> {
    try {
      const answer = await this.#tryTwice(connection, request);
      this.#failures = 0;
      this.#tellBack();
      return answer;
    } catch (error) {
      this.failed(connection, error);
      throw error;
    }
  }

  async #tryTwice<T>(connection: Connection, request: (options: RequestOptions) => Promise<T>): Promise<T> {
    const options = (): RequestOptions => ({ headers: connection.headers, signal: connection.gone });
    const { token } = connection;
    try {
      return await request(options());
    } catch (error) {
      if (this.#options.username === undefined || !isTokenRefused(error)) throw error;
      // Somebody else may have renewed it meanwhile.
      if (connection.token === token) await this.#authenticate(connection);
      return request(options());
    }
  }

  /** A request or a stream of this connection failed. The next connection is to another member, if there is one. */
  failed(connection: Connection, error: unknown): void {
    // The answer is clear, and another member would give the same.
    if (isRefusal(error) || (error instanceof ConnectError && error.code === Code.NotFound)) return;
    if (connection === this.#connection) {
      this.#connection = undefined;
      this.#failures++;
      this.#next = (this.#next + 1) % this.#endpoints.length;
    }
    connection.close(new ConnectError(`given up: ${reasonOf(error)}`, Code.Unavailable));
  }

  /** Say that it is away, once per outage; not while there are members that were not tried. */
  tell(error: unknown): void {
    if (this.#away || this.closed || !(this.exhausted || isRefusal(error))) return;
    this.#away = true;
    const what = isRefusal(error) ? 'refuses what it is asked' : 'is away';
    this.#options.logger.warn({ endpoints: this.name, error }, `registry: etcd ${what}, trying again: ${reasonOf(error)}`);
  }

  #tellBack(): void {
    if (!this.#away) return;
    this.#away = false;
    this.#options.logger.info({ endpoints: this.name }, 'registry: etcd is back');
  }

  async close(): Promise<void> {
    const reason = new ConnectError('the registry is closed', Code.Unavailable);
    this.#closing.abort(reason);
    this.#candidate?.close(reason);
    await this.#dialing?.catch(() => {});
    this.#connection?.close(reason);
  }
}
