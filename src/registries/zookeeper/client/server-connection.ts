/** One connection to one server: the handshake, requests, pings, and one end. */
import { followSignal } from '../../../core/signals.js';
import { startTimer } from '../../../core/timers.js';
import {
  type Client,
  connect,
  lengthPrefixed,
  type Session,
  type TlsOptions,
} from '../../../transport/index.js';
import type { WatchEventType } from '../types.js';
import { serverError, ZooKeeperError } from './errors.js';
import { type AnswerReceiver, InFlightRequests } from './in-flight-requests.js';
import { JuteReader } from './jute.js';
import type { Operation } from './operations.js';
import {
  decodeConnectResponse,
  decodeEvent,
  decodeHeader,
  encodeAuth,
  encodeConnectRequest,
  encodeSetWatches,
  type GrantedSession,
  PING,
  type SessionIdentity,
  type WatchedPaths,
  XID,
} from './protocol.js';
import { SilenceMonitor } from './silence-monitor.js';

export interface ServerConnectionOptions {
  /** `host:port`. */
  readonly host: string;
  readonly tls: TlsOptions | undefined;
  /** Milliseconds for the connection and the handshake together. */
  readonly timeout: number;
  readonly maxResponseBytes: number;
  readonly session: SessionIdentity;
  readonly lastZxid: bigint;
  /** Cancels the attempt, or ends the connection. */
  readonly signal: AbortSignal;
}

export interface ServerConnectionEvents {
  /** Called for each answer that has the number of a transaction. */
  onZxid(zxid: bigint): void;
  /**
   * Called in the turn of the event loop in which the event is read. The answer that sets a watch
   * arrives before the event of that watch.
   */
  onEvent(type: WatchEventType, path: string): void;
}

/**
 * The limit of bytes that the socket has not taken. ZooKeeperClient limits the number of requests.
 */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/**
 * Milliseconds. A longer timeout that a server grants counts as this one, or as the requested one
 * if that is longer. A wrong server could else keep the client from finding out for days that its
 * session is over.
 */
const MAX_GRANTED_TIMEOUT = 60_000;
/**
 * Milliseconds. A shorter timeout that a server grants counts as this one: with a timeout of 1 ms
 * the client would send hundreds of pings a second.
 */
const MIN_GRANTED_TIMEOUT = 100;

export class ServerConnection {
  readonly host: string;
  readonly #options: ServerConnectionOptions;
  readonly #events: ServerConnectionEvents;
  readonly #requests: InFlightRequests;
  readonly #silence: SilenceMonitor;
  #client: Client<Buffer, Uint8Array> | undefined;
  #session: Session<Buffer, Uint8Array> | undefined;
  #granted: GrantedSession | undefined;
  #handshake: { resolve(): void; reject(error: Error): void } | undefined;
  #endReason: Error | undefined;
  #resolveEnded!: (reason: Error) => void;
  /** Resolves once with the reason when the connection has ended. Does not reject. */
  readonly ended = new Promise<Error>((resolve) => {
    this.#resolveEnded = resolve;
  });

  private constructor(options: ServerConnectionOptions, events: ServerConnectionEvents) {
    this.host = options.host;
    this.#options = options;
    this.#events = events;
    this.#requests = new InFlightRequests(options.host);
    this.#silence = new SilenceMonitor({
      bytesRead: () => this.#session?.stats.bytesRead,
      answeredRequests: () => (this.#requests.isEmpty ? undefined : this.#requests.answered),
      sendPing: () => this.#write(PING),
      onSilent: (silence) => this.#leave(`has been silent for ${Math.round(silence)} ms`),
      onUnanswered: (silence) =>
        this.#leave(`has answered pings and no request for ${Math.round(silence)} ms`),
    });
  }

  /**
   * Connects and continues the session, or begins a new one. Rejects with CONNECT_FAILED or
   * BAD_OPTION of the transport, or with a ZooKeeperError: SESSION_EXPIRED, REFUSED, READ_ONLY,
   * OPERATION_TIMEOUT.
   */
  static async open(
    options: ServerConnectionOptions,
    events: ServerConnectionEvents,
  ): Promise<ServerConnection> {
    const connection = new ServerConnection(options, events);
    try {
      await connection.#open();
      return connection;
    } catch (error) {
      connection.destroy(error as Error);
      throw error;
    }
  }

  /** The session as the server has granted it. */
  get granted(): GrantedSession {
    return this.#granted as GrantedSession;
  }

  async #open(): Promise<void> {
    const { host, tls, timeout, maxResponseBytes, session, lastZxid, signal } = this.#options;
    const startedAt = performance.now();
    const setup = {
      codec: lengthPrefixed({ width: 4 }),
      listener: {
        onMessage: (_: unknown, frame: Buffer) => this.#onFrame(frame),
        onError: (_: unknown, error: Error) => {
          this.#endReason ??= this.#granted === undefined ? this.#refused(error) : error;
        },
        onClose: () => this.#onEnd(),
      },
      name: `zookeeper ${host}`,
      maxMessageBytes: maxResponseBytes,
      maxQueuedBytes: MAX_QUEUED_BYTES,
    };
    const address = `${tls === undefined ? 'tcp' : 'tls'}://${host}`;
    this.#client = await connect<Buffer, Uint8Array>(address, setup, {
      connectTimeout: timeout,
      reconnect: false,
      tls,
      signal,
    });
    this.#session = await this.#client.session();
    const remaining = Math.max(1, timeout - (performance.now() - startedAt));
    const onTimeout = (): void =>
      this.destroy(
        new ZooKeeperError(
          'OPERATION_TIMEOUT',
          `ZooKeeper: ${host} has not accepted the session within ${timeout} ms`,
        ),
      );
    const onAbort = (): void => this.destroy(signal.reason as Error);
    const timer = startTimer(onTimeout, remaining);
    void this.ended.then(followSignal(signal, onAbort));
    try {
      await new Promise<void>((resolve, reject) => {
        this.#handshake = { resolve, reject };
        this.#write(encodeConnectRequest(session, lastZxid));
      });
    } finally {
      clearTimeout(timer);
    }
  }

  // ---- writing ----

  /** Authenticates before other requests. If the server refuses, the connection ends. */
  authenticate(scheme: string, secret: string): void {
    this.#write(encodeAuth(scheme, secret));
  }

  /** Sets the watches of the session again. The server sends missed events at once. */
  setWatches(lastZxid: bigint, watched: WatchedPaths): void {
    for (const request of encodeSetWatches(lastZxid, watched)) this.#write(request);
  }

  /** Throws NOT_SENT if the request is larger than `maxBytes`; then nothing of it is sent. */
  request<T>(operation: Operation<T>, receiver: AnswerReceiver<T>, maxBytes: number): void {
    this.#write(this.#requests.add(operation, receiver, maxBytes));
  }

  #write(frame: Buffer): void {
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(frame.length);
    try {
      // Not through the codec: its limit is that of received frames.
      this.#session?.writeBytesArray([length, frame]);
      this.#silence.onWrite();
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  // ---- reading ----

  #onFrame(frame: Buffer): void {
    this.#silence.onRead();
    try {
      if (this.#granted === undefined) this.#onConnectResponse(decodeConnectResponse(frame));
      else this.#onReply(new JuteReader(frame));
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #onConnectResponse(granted: GrantedSession | undefined): void {
    const { host } = this.#options;
    if (granted === undefined)
      throw new ZooKeeperError('SESSION_EXPIRED', `ZooKeeper: ${host}: the session has expired`);
    if (granted.isReadOnly)
      throw new ZooKeeperError(
        'READ_ONLY',
        `ZooKeeper: ${host} has lost its quorum and is read-only`,
      );
    const longest = Math.max(this.#options.session.timeout, MAX_GRANTED_TIMEOUT);
    const timeout = Math.min(Math.max(granted.timeout, MIN_GRANTED_TIMEOUT), longest);
    this.#granted = { ...granted, timeout };
    this.#silence.start(timeout);
    this.#handshake?.resolve();
  }

  #onReply(from: JuteReader): void {
    const header = decodeHeader(from);
    if (header.zxid > 0n) this.#events.onZxid(header.zxid);
    if (header.xid === XID.event) {
      const event = decodeEvent(from);
      if (event !== undefined) this.#events.onEvent(event.type, event.path);
    } else if (header.xid === XID.auth || header.xid === XID.setWatches) {
      if (header.error !== 0)
        throw serverError(
          header.error,
          header.xid === XID.auth ? 'addauth' : 'setWatches',
          this.#options.host,
        );
    } else if (header.xid !== XID.ping) {
      this.#requests.settle(header, from);
    }
  }

  // ---- closing ----

  /** Ends the connection at once. Requests in flight fail with CONNECTION_LOST. */
  destroy(reason: Error): void {
    this.#endReason ??= reason;
    this.#client?.destroy();
    this.#onEnd();
  }

  #leave(why: string): void {
    this.destroy(new ZooKeeperError('SILENT', `ZooKeeper: ${this.host} ${why}`));
  }

  #refused(cause?: unknown): Error {
    return new ZooKeeperError(
      'REFUSED',
      `ZooKeeper: ${this.host} closed the connection instead of accepting the session`,
      cause,
    );
  }

  #onEnd(): void {
    this.#endReason ??=
      this.#granted === undefined
        ? this.#refused()
        : new ZooKeeperError('CONNECTION_LOST', `ZooKeeper: ${this.host} closed the connection`);
    const reason = this.#endReason;
    this.#silence.stop();
    this.#handshake?.reject(reason);
    this.#requests.failAll(reason);
    this.#resolveEnded(reason);
  }
}
