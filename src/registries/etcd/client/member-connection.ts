/**
 * One connection to one member of the cluster: a socket, HTTP/2 on it, and Connect's clients of
 * etcd's services. A closed connection is not opened again.
 */

import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { type Client, type ConnectError, createClient } from '@connectrpc/connect';
import { createTransport } from '@connectrpc/connect/protocol-grpc';
import { createNodeHttpClient } from '@connectrpc/connect-node';
import { followSignal } from '../../../core/signals.js';
import { tlsClientOptions } from '../../../transport/tls/tls-options.js';
import type { TlsOptions } from '../../../transport/types.js';
import { Auth, KV, Lease, Watch } from '../proto/rpc_pb.js';
import { limitAnswers, MAX_ANSWER_BYTES } from './answer-limit.js';
import { startDeadline } from './deadline.js';
import type { Endpoint } from './endpoints.js';
import { Http2Session, type PingOptions } from './http2-session.js';

export interface ConnectionOptions extends PingOptions {
  readonly tls: TlsOptions | undefined;
  /** Milliseconds. */
  readonly dialTimeout: number;
}

/** The default of Connect. */
const MAX_REQUEST_BYTES = 2 ** 32 - 1;

export class MemberConnection {
  readonly endpoint: Endpoint;
  readonly kv: Client<typeof KV>;
  readonly lease: Client<typeof Lease>;
  readonly watch: Client<typeof Watch>;
  readonly auth: Client<typeof Auth>;
  /** The authentication token. undefined: not received yet, or not needed. */
  token: string | undefined;
  readonly #closing = new AbortController();
  #isClosed = false;
  readonly #http2: Http2Session;

  private constructor(endpoint: Endpoint, socket: Socket, options: ConnectionOptions) {
    this.endpoint = endpoint;
    this.#http2 = new Http2Session(endpoint.origin, socket, options, (reason) => {
      this.#isClosed = true;
      this.#closing.abort(reason);
    });
    const httpClient = createNodeHttpClient({
      httpVersion: '2',
      sessionProvider: () => this.#http2,
    });
    // createGrpcTransport() takes no HTTP client.
    const transport = createTransport({
      baseUrl: endpoint.origin,
      httpClient: limitAnswers(httpClient),
      useBinaryFormat: true,
      interceptors: [],
      acceptCompression: [],
      sendCompression: null,
      compressMinBytes: 0,
      readMaxBytes: MAX_ANSWER_BYTES,
      writeMaxBytes: MAX_REQUEST_BYTES,
      binaryOptions: { readUnknownFields: false },
    });
    this.kv = createClient(KV, transport);
    this.lease = createClient(Lease, transport);
    this.watch = createClient(Watch, transport);
    this.auth = createClient(Auth, transport);
  }

  /** Closed, or about to be. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Reads of any answer so far. */
  get readCount(): number {
    return this.#http2.readCount;
  }

  /** Aborts when the connection ends; its reason says why. */
  get closeSignal(): AbortSignal {
    return this.#closing.signal;
  }

  /** The headers of every request. */
  get headers(): Record<string, string> {
    return this.token === undefined ? {} : { token: this.token };
  }

  /** Rejects with the system's error, or with an error that names `dialTimeout`. */
  static async dial(
    endpoint: Endpoint,
    options: ConnectionOptions,
    signal: AbortSignal,
  ): Promise<MemberConnection> {
    const socket = openSocket(endpoint, options.tls);
    const release = followSignal(signal, () => socket.destroy(new Error('the registry is closed')));
    const stop = startDeadline(options.dialTimeout, () => {
      socket.destroy(new Error(`no connection within ${options.dialTimeout} ms`));
      return false;
    });
    try {
      await untilConnected(socket, endpoint);
      if (signal.aborted) throw new Error('the registry is closed');
      return new MemberConnection(endpoint, socket, options);
    } catch (error) {
      socket.on('error', () => {}).destroy();
      throw error;
    } finally {
      stop();
      release();
    }
  }

  /**
   * Ends the connection; requests in flight fail with `reason`. It ends in the next turn of the
   * event loop, because the caller may run within Node's HTTP/2 parser, where Node.js loops forever
   * if streams are reset.
   */
  close(reason: ConnectError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    setImmediate(() => this.#http2.destroy(reason));
  }
}

function openSocket(endpoint: Endpoint, tls: TlsOptions | undefined): Socket {
  const { host, port } = endpoint;
  const target = { host, port };
  const socket = endpoint.isSecure
    ? connectTls({
        ...tlsClientOptions(tls, { scheme: 'https', path: '', text: endpoint.text, ...target }),
        ...target,
        ALPNProtocols: ['h2'],
      })
    : connectTcp(target);
  return socket.setNoDelay();
}

function untilConnected(socket: Socket, endpoint: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
    socket.once(endpoint.isSecure ? 'secureConnect' : 'connect', () => {
      socket.off('error', reject);
      if (endpoint.isSecure && (socket as TLSSocket).alpnProtocol !== 'h2')
        reject(new Error('the server does not support HTTP/2'));
      else resolve();
    });
  });
}
