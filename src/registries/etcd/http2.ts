/**
 * HTTP/2 on one socket, for Connect. It pings a server that is silent while something is asked of
 * it, and never dials: who is dialled, and when, is for the link to say. (Connect's own manager
 * dials by itself, keeps the process alive, and can leave an error of the session that nobody
 * catches.)
 */

import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import type { Socket } from 'node:net';
import { Code, ConnectError } from '@connectrpc/connect';
import { startTimer } from '../../core/timers.js';

type Headers = Parameters<ClientHttp2Session['request']>[0];
type Options = Parameters<ClientHttp2Session['request']>[1];

export interface PingOptions {
  /** Milliseconds of silence after which the server is pinged. */
  readonly pingInterval: number;
  /** Milliseconds that the answer is waited for. */
  readonly pingTimeout: number;
}

export class Http2 {
  readonly authority: string;
  readonly #session: ClientHttp2Session;
  readonly #options: PingOptions;
  readonly #onLost: (reason: ConnectError) => void;
  /** Streams that are open. */
  #streams = 0;
  #timer: NodeJS.Timeout | undefined;
  #why: ConnectError | undefined;
  #reads = 0;

  /** `onLost` is called once, when the connection has ended, whoever ended it. */
  constructor(
    authority: string,
    socket: Socket,
    options: PingOptions,
    onLost: (reason: ConnectError) => void,
  ) {
    this.authority = authority;
    this.#options = options;
    this.#onLost = onLost;
    this.#session = connect(authority, { createConnection: () => socket });
    this.#session.on('error', (error) => {
      this.#why ??= ConnectError.from(error, Code.Unavailable);
    });
    this.#session.once('close', () => this.#closed());
    // Neither a registration nor a watch keeps a process alive; a request does, by the timer of its
    // deadline.
    this.#session.unref();
  }

  /** How often something was read of any answer: as long as it grows, the server answers. */
  get reads(): number {
    return this.#reads;
  }

  async request(
    method: string,
    path: string,
    headers: Headers,
    options: Options,
  ): Promise<ClientHttp2Stream> {
    if (this.#session.closed || this.#session.destroyed)
      throw this.#why ?? new ConnectError('the connection is lost', Code.Unavailable);
    // Node.js 20 leaves the brackets of an IPv6 address out of the authority that it makes itself.
    const stream = this.#session.request(
      { ...headers, ':method': method, ':path': path, ':authority': new URL(this.authority).host },
      options,
    );
    this.#streams++;
    if (this.#streams === 1) this.#listen();
    stream.once('response', () => this.#heard());
    stream.once('close', () => {
      this.#streams--;
      if (this.#streams === 0) clearTimeout(this.#timer);
    });
    return stream;
  }

  /** Called by Connect for each chunk that it reads. */
  notifyResponseByteRead(_: ClientHttp2Stream): void {
    this.#heard();
  }

  #heard(): void {
    this.#reads++;
    if (this.#streams > 0) this.#listen();
  }

  /** Ping when it has been silent for so long. */
  #listen(): void {
    clearTimeout(this.#timer);
    if (this.#session.destroyed) return;
    this.#timer = startTimer(() => this.#ping(), this.#options.pingInterval).unref();
  }

  #ping(): void {
    const { pingTimeout } = this.#options;
    const reads = this.#reads;
    // In a process that was busy the answer may have arrived and not have been read: sockets are
    // read between the timer and setImmediate().
    const late = (): void => {
      setImmediate(() => {
        if (this.#reads === reads)
          this.destroy(
            new ConnectError(`no answer to a ping within ${pingTimeout} ms`, Code.Unavailable),
          );
      });
    };
    this.#timer = startTimer(late, pingTimeout).unref();
    // Answered or cancelled; a session that is destroyed meanwhile tells by its close.
    this.#session.ping((error) => {
      if (error === null) this.#heard();
    });
  }

  /**
   * Now; what is under way fails. Never called by the parser of HTTP/2 itself: Node would go round
   * for ever.
   */
  destroy(reason: ConnectError): void {
    this.#why ??= reason;
    clearTimeout(this.#timer);
    if (!this.#session.destroyed) this.#session.destroy(undefined, constants.NGHTTP2_CANCEL);
  }

  #closed(): void {
    clearTimeout(this.#timer);
    this.#onLost(this.#why ?? new ConnectError('the connection is lost', Code.Unavailable));
  }
}
