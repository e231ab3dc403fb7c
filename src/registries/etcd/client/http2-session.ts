/**
 * Connect's session manager for HTTP/2 on one socket. It pings a server that sends nothing while a
 * request is in flight, and it never dials. Connect's own manager dials by itself, keeps the
 * process alive, and can leave an error of the session without a handler.
 */

import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import type { Socket } from 'node:net';
import { Code, ConnectError } from '@connectrpc/connect';
import { startTimer } from '../../../core/timers.js';
import { startDeadline } from './deadline.js';

type Headers = Parameters<ClientHttp2Session['request']>[0];
type Options = Parameters<ClientHttp2Session['request']>[1];

export interface PingOptions {
  /** Milliseconds without a read after which the server is pinged. */
  readonly pingInterval: number;
  /** Milliseconds for the answer to a ping. Then the connection ends. */
  readonly pingTimeout: number;
}

export class Http2Session {
  readonly authority: string;
  readonly #session: ClientHttp2Session;
  readonly #socket: Socket;
  readonly #options: PingOptions;
  readonly #onClose: (reason: ConnectError) => void;
  #openStreams = 0;
  /** Stops the timer of silence, or the deadline of a ping. */
  #stopTimer = (): void => {};
  #stopGoawayDeadline = (): void => {};
  #closeReason: ConnectError | undefined;
  #readCount = 0;

  /** `onClose` is called once, when the connection has ended for any reason. */
  constructor(
    authority: string,
    socket: Socket,
    options: PingOptions,
    onClose: (reason: ConnectError) => void,
  ) {
    this.authority = authority;
    this.#options = options;
    this.#socket = socket;
    this.#onClose = onClose;
    // etcd pushes no streams. Pushed ones would stay in memory.
    this.#session = connect(authority, {
      createConnection: () => socket,
      settings: { enablePush: false },
    });
    this.#session.on('stream', (pushed) => {
      pushed.on('error', () => {});
      this.destroy(new ConnectError('the server pushes streams', Code.Unavailable));
    });
    this.#session.on('error', (error) => {
      this.#closeReason ??= ConnectError.from(error, Code.Unavailable);
    });
    this.#session.once('close', () => this.#onSessionClose());
    this.#session.once('goaway', () => this.#onGoaway());
    // A registration or a watch does not keep the process alive. A request does, by the timer of
    // its deadline.
    this.#session.unref();
  }

  /** Reads of any answer so far. While it grows, the server is alive. */
  get readCount(): number {
    return this.#readCount;
  }

  async request(
    method: string,
    path: string,
    headers: Headers,
    options: Options,
  ): Promise<ClientHttp2Stream> {
    if (this.#session.closed || this.#session.destroyed)
      throw this.#closeReason ?? new ConnectError('the connection is lost', Code.Unavailable);
    // The authority that Node.js 20 makes itself lacks the brackets of an IPv6 address.
    const stream = this.#session.request(
      { ...headers, ':method': method, ':path': path, ':authority': new URL(this.authority).host },
      options,
    );
    this.#openStreams++;
    if (this.#openStreams === 1) this.#startSilenceTimer();
    stream.once('response', () => this.#onRead());
    stream.once('close', () => {
      this.#openStreams--;
      if (this.#openStreams === 0) this.#stopTimer();
    });
    return stream;
  }

  /** Connect calls it for each chunk that it reads. */
  notifyResponseByteRead(_: ClientHttp2Stream): void {
    this.#onRead();
  }

  #onRead(): void {
    this.#readCount++;
    if (this.#openStreams > 0) this.#startSilenceTimer();
  }

  /** Pings the server if nothing is read for `pingInterval` ms. */
  #startSilenceTimer(): void {
    this.#stopTimer();
    if (this.#session.destroyed) return;
    const timer = startTimer(() => this.#ping(), this.#options.pingInterval).unref();
    this.#stopTimer = () => clearTimeout(timer);
  }

  #ping(): void {
    const { pingTimeout } = this.#options;
    const readCount = this.#readCount;
    const onExpired = (): boolean => {
      if (this.#readCount === readCount)
        this.destroy(
          new ConnectError(`no answer to a ping within ${pingTimeout} ms`, Code.Unavailable),
        );
      return false;
    };
    this.#stopTimer = startDeadline(pingTimeout, onExpired, false);
    // The error of a session that is destroyed meanwhile is reported by its close event.
    this.#session.ping((error) => {
      if (error === null) this.#onRead();
    });
  }

  /**
   * Node.js sends no more requests, and waits without a limit for those in flight and until the
   * server ends the connection. They have the time of a ping.
   */
  #onGoaway(): void {
    const onExpired = (): boolean => {
      this.destroy(new ConnectError('the server ends the connection', Code.Unavailable));
      return false;
    };
    this.#stopGoawayDeadline = startDeadline(this.#options.pingTimeout, onExpired, false);
  }

  /**
   * Ends the session at once; requests in flight fail. Must not be called from within Node's HTTP/2
   * parser: Node.js loops forever if streams are reset there.
   */
  destroy(reason: ConnectError): void {
    this.#closeReason ??= reason;
    this.#stopTimer();
    if (!this.#session.destroyed) this.#session.destroy(undefined, constants.NGHTTP2_CANCEL);
    // A destroyed session waits until its last bytes are written, and after GOAWAY until the server
    // ends the connection. A frozen server does neither.
    setImmediate(() => this.#socket.destroy());
  }

  #onSessionClose(): void {
    this.#stopTimer();
    this.#stopGoawayDeadline();
    this.#onClose(
      this.#closeReason ?? new ConnectError('the connection is lost', Code.Unavailable),
    );
  }
}
