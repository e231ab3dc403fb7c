/**
 * Requests to a cluster, over one connection to a member that answers. When the connection fails,
 * the next one is to another member.
 */
import { Code, ConnectError } from '@connectrpc/connect';
import { gettyError } from '../../../core/errors.js';
import type { Logger } from '../../../core/logger.js';
import { followSignal } from '../../../core/signals.js';
import { Outage } from '../../shared/outage.js';
import { startDeadline } from './deadline.js';
import type { Endpoint } from './endpoints.js';
import { describeError, isAuthDisabled, isRefusal, isTimeout, isTokenRefused } from './errors.js';
import { type ConnectionOptions, MemberConnection } from './member-connection.js';

export interface EtcdClientOptions extends ConnectionOptions {
  /** Milliseconds for one request. */
  readonly requestTimeout: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** Undefined: an outage becomes a warning of the process. */
  readonly logger: Logger | undefined;
}

/** The options that @connectrpc/connect needs for a request. */
export interface RequestOptions {
  readonly headers: Record<string, string>;
  readonly signal: AbortSignal;
}

type Request<T> = (options: RequestOptions) => Promise<T>;

/** Repeated timeouts multiply `requestTimeout` by at most this number. */
const MAX_TIMEOUT_FACTOR = 4;

export class EtcdClient {
  readonly #members: readonly Endpoint[];
  readonly #options: EtcdClientOptions;
  readonly #closing = new AbortController();
  /** The member to dial next. The first is random, so that clients spread over the members. */
  #nextMember: number;
  #connection: MemberConnection | undefined;
  /** A connection that is not authenticated yet. */
  #unauthenticated: MemberConnection | undefined;
  #dialing: Promise<MemberConnection> | undefined;
  readonly #outage: Outage;
  /** Failures in a row. */
  #failures = 0;
  /** The renewals of tokens in progress. */
  readonly #renewals = new Map<MemberConnection, Promise<void>>();
  #timeoutFactor = 1;
  #hasAnswered = false;

  constructor(members: readonly Endpoint[], options: EtcdClientOptions) {
    this.#members = members;
    this.#options = options;
    this.#nextMember = Math.floor(Math.random() * members.length);
    const { endpoints } = this;
    this.#outage = new Outage(`etcd at ${endpoints}`, { endpoints }, options.logger);
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Whether every member has failed since the last answer. */
  get haveAllMembersFailed(): boolean {
    return this.#failures >= this.#members.length;
  }

  /** The members, for messages. */
  get endpoints(): string {
    return this.#members.map(({ text }) => text).join(', ');
  }

  /** Why the cluster cannot be reached. undefined: it can, or no request was made yet. */
  get failure(): Error | undefined {
    const isInUse = this.#connection !== undefined || this.#dialing !== undefined;
    if (this.#outage.failure !== undefined || this.#hasAnswered || !isInUse)
      return this.#outage.failure;
    return gettyError('REGISTRY_FAILED', `etcd at ${this.endpoints} has not answered yet`);
  }

  /**
   * Resolves with the current connection, or with a new one: dials the members one after another,
   * each at most once. Rejects with the error of the last member.
   */
  connection(): Promise<MemberConnection> {
    if (this.isClosed)
      return Promise.reject(new ConnectError('the registry is closed', Code.Canceled));
    if (this.#connection !== undefined && !this.#connection.isClosed)
      return Promise.resolve(this.#connection);
    this.#dialing ??= this.#dial().finally(() => {
      this.#dialing = undefined;
    });
    return this.#dialing;
  }

  async #dial(): Promise<MemberConnection> {
    let lastError: unknown;
    for (let left = this.#members.length; left > 0; left--) {
      const member = this.#members[this.#nextMember] as Endpoint;
      try {
        const connection = await MemberConnection.dial(member, this.#options, this.#closing.signal);
        this.#unauthenticated = connection;
        await this.#authenticate(connection);
        this.#connection = connection;
        return connection;
      } catch (error) {
        lastError = error;
        this.#outage.onFailure(error, describeError(error));
        this.#unauthenticated?.close(new ConnectError('another member is tried', Code.Unavailable));
        this.#nextMember = (this.#nextMember + 1) % this.#members.length;
        if (this.isClosed) break;
      } finally {
        this.#unauthenticated = undefined;
      }
    }
    this.#failures = this.#members.length;
    this.reportOutage(lastError);
    throw lastError;
  }

  async #authenticate(connection: MemberConnection): Promise<void> {
    const { username: name, password } = this.#options;
    if (name === undefined) return;
    try {
      const { token } = await this.#callInTime(
        connection,
        ({ signal }) => connection.auth.authenticate({ name, password }, { signal }),
        false,
      );
      connection.token = token;
    } catch (error) {
      if (!isAuthDisabled(error)) throw error;
      connection.token = undefined;
    }
  }

  /** Concurrent requests whose token is refused share one renewal. */
  #renewToken(connection: MemberConnection): Promise<void> {
    let renewal = this.#renewals.get(connection);
    if (renewal === undefined) {
      renewal = this.#authenticate(connection).finally(() => this.#renewals.delete(connection));
      this.#renewals.set(connection, renewal);
    }
    return renewal;
  }

  /**
   * Makes a request. If the server rejects the token, gets a new one and tries once more. Rejects
   * with a ConnectError. Closes the connection, unless the error is an answer of the server.
   */
  call<T>(connection: MemberConnection, request: Request<T>): Promise<T> {
    return this.#call(connection, request, false);
  }

  /**
   * As call(), for a long answer: when the time limit ends, it starts again if bytes have arrived
   * during it. The caller must call onAnswered() after the last part of the answer.
   */
  callWhileReading<T>(connection: MemberConnection, request: Request<T>): Promise<T> {
    return this.#call(connection, request, true);
  }

  async #call<T>(
    connection: MemberConnection,
    request: Request<T>,
    isExtendable: boolean,
  ): Promise<T> {
    try {
      const answer = await this.#callWithNewToken(connection, request, isExtendable);
      if (!isExtendable) this.onAnswered();
      return answer;
    } catch (error) {
      // A cluster with very many new clients answers late. Retries at the same rate would delay
      // its answers further.
      if (isTimeout(error))
        this.#timeoutFactor = Math.min(this.#timeoutFactor * 2, MAX_TIMEOUT_FACTOR);
      this.onError(connection, error);
      throw error;
    }
  }

  /** A request was answered as a whole: there is no outage. */
  onAnswered(): void {
    this.#failures = 0;
    this.#timeoutFactor = 1;
    this.#hasAnswered = true;
    this.#outage.end('etcd answers again');
  }

  async #callWithNewToken<T>(
    connection: MemberConnection,
    request: Request<T>,
    isExtendable: boolean,
  ): Promise<T> {
    const { token } = connection;
    try {
      return await this.#callInTime(connection, request, isExtendable);
    } catch (error) {
      if (this.#options.username === undefined || !isTokenRefused(error)) throw error;
      // A concurrent call may have renewed the token meanwhile.
      if (connection.token === token) await this.#renewToken(connection);
      return this.#callInTime(connection, request, isExtendable);
    }
  }

  async #callInTime<T>(
    connection: MemberConnection,
    request: Request<T>,
    isExtendable: boolean,
  ): Promise<T> {
    const { closeSignal } = connection;
    const abort = new AbortController();
    const release = followSignal(closeSignal, () => abort.abort(closeSignal.reason));
    if (closeSignal.aborted) abort.abort(closeSignal.reason);
    let { readCount } = connection;
    const timeout = this.#options.requestTimeout * this.#timeoutFactor;
    const stop = startDeadline(timeout, () => {
      const isExtended = isExtendable && connection.readCount !== readCount;
      ({ readCount } = connection);
      if (!isExtended)
        abort.abort(new ConnectError(`no answer within ${timeout} ms`, Code.DeadlineExceeded));
      return isExtended;
    });
    try {
      return await request({ headers: connection.headers, signal: abort.signal });
    } finally {
      stop();
      release();
    }
  }

  /**
   * A request or a stream of `connection` has failed. Closes the connection unless the error is an
   * answer of the server. The next connection is to another member, if there is one.
   */
  onError(connection: MemberConnection, error: unknown): void {
    // Another member would give the same answer.
    if (isRefusal(error) || (error instanceof ConnectError && error.code === Code.NotFound)) return;
    if (connection === this.#connection) {
      this.#outage.onFailure(error, describeError(error));
      this.#connection = undefined;
      this.#failures++;
      this.#nextMember = (this.#nextMember + 1) % this.#members.length;
    }
    connection.close(new ConnectError(`given up: ${describeError(error)}`, Code.Unavailable));
  }

  /** Reports the outage once, after all members have failed or after a refusal. */
  reportOutage(error: unknown): void {
    if (this.isClosed || !(this.haveAllMembersFailed || isRefusal(error))) return;
    const state = isRefusal(error) ? 'refuses requests' : 'cannot be reached';
    const reason = describeError(error);
    this.#outage.begin(state, error, `etcd ${state}, trying again: ${reason}`, reason);
  }

  async close(): Promise<void> {
    const reason = new ConnectError('the registry is closed', Code.Unavailable);
    this.#closing.abort(reason);
    this.#unauthenticated?.close(reason);
    await this.#dialing?.catch(() => {});
    this.#connection?.close(reason);
  }
}
