/**
 * One connection to one member: a socket, HTTP/2 on it, and etcd's services as Connect's clients.
 * It ends once, and does not come back.
 */

import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { type Client, type ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { followSignal } from '../../core/signals.js';
import { tlsClientOptions } from '../../transport/stream/tls.js';
import type { TlsOptions } from '../../transport/types.js';
import { startDeadline } from './deadline.js';
import type { Endpoint } from './endpoints.js';
import { Http2, type PingOptions } from './http2.js';
import { Auth, KV, Lease, Watch } from './proto/rpc_pb.js';

export interface ConnectionOptions extends PingOptions {
  readonly tls: TlsOptions | undefined;
  readonly dialTimeout: number;
}

/**
 * The largest answer that is read, in bytes. A page of entries is asked for again in smaller parts
 * when it is larger.
 */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

export class Connection {
  readonly endpoint: Endpoint;
  readonly kv: Client<typeof KV>;
  readonly lease: Client<typeof Lease>;
  readonly watch: Client<typeof Watch>;
  readonly auth: Client<typeof Auth>;
  /** What the server gave us for our password; undefined: nothing yet, or none is needed. */
  token: string | undefined;
  readonly #gone = new AbortController();
  #over = false;
  readonly #http2: Http2;

  private constructor(endpoint: Endpoint, socket: Socket, options: ConnectionOptions) {
    this.endpoint = endpoint;
    this.#http2 = new Http2(endpoint.origin, socket, options, (reason) => {
      this.#over = true;
      this.#gone.abort(reason);
    });
    const transport = createGrpcTransport({
      baseUrl: endpoint.origin,
      sessionManager: this.#http2,
      acceptCompression: [],
      readMaxBytes: MAX_ANSWER_BYTES,
      binaryOptions: { readUnknownFields: false },
    });
    this.kv = createClient(KV, transport);
    this.lease = createClient(Lease, transport);
    this.watch = createClient(Watch, transport);
    this.auth = createClient(Auth, transport);
  }

  /** Ended, or about to. */
  get over(): boolean {
    return this.#over;
  }

  /** Grows with everything that is read. */
  get reads(): number {
    return this.#http2.reads;
  }

  /** Aborted when the connection ends; its reason says why. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Headers that a request needs. */
  get headers(): Record<string, string> {
    return this.token === undefined ? {} : { token: this.token };
  }

  /** Rejects with the system's error, or with one that says that it took too long. */
  static async dial(
    endpoint: Endpoint,
    options: ConnectionOptions,
    signal: AbortSignal,
  ): Promise<Connection> {
    const socket = open(endpoint, options.tls);
    const release = followSignal(signal, () => socket.destroy(new Error('the registry is closed')));
    const stop = startDeadline(options.dialTimeout, () => {
      socket.destroy(new Error(`no connection within ${options.dialTimeout} ms`));
      return false;
    });
    try {
      await opened(socket, endpoint);
      if (signal.aborted) throw new Error('the registry is closed');
      return new Connection(endpoint, socket, options);
    } catch (error) {
      socket.on('error', () => {}).destroy();
      throw error;
    } finally {
      stop();
      release();
    }
  }

  /**
   * End it: what is under way fails with the reason. Not before the next turn of the event loop: we
   * may be called from within the parser of HTTP/2, where Node goes round for ever when streams are
   * reset.
   */
  close(reason: ConnectError): void {
    if (this.#over) return;
    this.#over = true;
    setImmediate(() => this.#http2.destroy(reason));
  }
}

function open(endpoint: Endpoint, tls: TlsOptions | undefined): Socket {
  const { host, port } = endpoint;
  const target = { host, port };
  const socket = endpoint.secure
    ? connectTls({
        ...tlsClientOptions(tls, { scheme: 'https', path: '', text: endpoint.text, ...target }),
        ...target,
        ALPNProtocols: ['h2'],
      })
    : connectTcp(target);
  return socket.setNoDelay();
}

function opened(socket: Socket, endpoint: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was closed')));
    socket.once(endpoint.secure ? 'secureConnect' : 'connect', () => {
      socket.off('error', reject);
      if (endpoint.secure && (socket as TLSSocket).alpnProtocol !== 'h2')
        reject(new Error('the server does not speak HTTP/2'));
      else resolve();
    });
  });
}
