/** The HTTP server of the console: its page, and the WebSocket of the page. */
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { messageOf } from '../../../core/errors.js';
import { type RpcServer, type Service, serve } from '../../../rpc/index.js';
import { AdvisedError } from '../../failure.js';
import { MAX_MESSAGE_BYTES } from '../limits.js';
import { isLoopback, type ListenAddress, urlHost } from './listen-address.js';
import { type PageFile, readPageFiles } from './page-files.js';
import {
  isHostAllowed,
  isOwnOrigin,
  isTokenValid,
  parseRequestUrl,
  type RequestPolicy,
} from './request-policy.js';
import { UpgradeRelay } from './upgrade-relay.js';

/** The most connections, and the most pages that are open: a few tabs of a few people. */
const MAX_CONNECTIONS = 200;
const MAX_PAGES = 50;
/** Of a page: what it asks at the same time, and its calls with the stream of updates. */
const PAGE_LIMITS = { maxPendingCalls: 64, maxStreams: 16 };
/** The path of the WebSocket. */
const RPC_PATH = '/rpc';
/** Bytes of the headers of a request. */
const MAX_HEADER_BYTES = 16 * 1024;

export interface ConsoleServerOptions {
  readonly listen: ListenAddress;
  /** Names that the Host header may have, besides IP addresses, localhost and that of `listen`. */
  readonly hosts: readonly string[];
  /** Whether a token is needed on this machine too. It is always needed elsewhere. */
  readonly needsToken: boolean;
  /** Milliseconds for a request, and until an idle connection is closed. Default: 10,000. */
  readonly httpTimeout?: number;
  /** Milliseconds until a WebSocket that sends and receives nothing is closed. Default: 60,000. */
  readonly socketTimeout?: number;
}

export class ConsoleServer implements Disposable {
  readonly #http: Server;
  readonly #rpc: RpcServer;
  readonly #relay: UpgradeRelay;
  readonly #files: ReadonlyMap<string, PageFile>;
  readonly #host: string;
  readonly #policy: RequestPolicy;
  /** The sockets whose last answer has not been sent. */
  readonly #answering = new WeakSet<Socket>();

  private constructor(
    rpc: RpcServer,
    path: string,
    files: ReadonlyMap<string, PageFile>,
    {
      listen,
      hosts,
      needsToken,
      httpTimeout = 10_000,
      socketTimeout = 60_000,
    }: ConsoleServerOptions,
  ) {
    this.#rpc = rpc;
    this.#files = files;
    this.#host = listen.host;
    this.#relay = new UpgradeRelay({
      port: Number(new URL(rpc.address).port),
      path,
      timeout: socketTimeout,
    });
    this.#policy = {
      hosts: [listen.host, ...hosts.map((name) => name.toLowerCase())],
      token:
        needsToken || !isLoopback(listen.host) ? randomBytes(24).toString('base64url') : undefined,
    };
    this.#http = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: httpTimeout,
      requestTimeout: httpTimeout,
      keepAliveTimeout: httpTimeout,
      // By default Node.js checks the first two each 30 s.
      connectionsCheckingInterval: httpTimeout / 4,
    });
    // The other limits do not apply to a client that does not read its answers.
    this.#http.timeout = httpTimeout;
    this.#http.maxConnections = MAX_CONNECTIONS;
    this.#http.on('request', (request, response) => this.#answer(request, response));
    // Without TLS, the socket of each request is one of node:net.
    this.#http.on('upgrade', (request, socket, head) =>
      this.#upgrade(request, socket as Socket, head),
    );
  }

  /** Rejects with AdvisedError if the port cannot be used. */
  static async start(service: Service, options: ConsoleServerOptions): Promise<ConsoleServer> {
    const files = await readPageFiles();
    const path = `/${randomBytes(24).toString('base64url')}`;
    const rpc = await serve(`ws://127.0.0.1:0${path}`, [service], {
      ...PAGE_LIMITS,
      maxSessions: MAX_PAGES,
      session: { maxMessageBytes: MAX_MESSAGE_BYTES },
    });
    const server = new ConsoleServer(rpc, path, files, options);
    try {
      await server.#listen(options.listen);
    } catch (error) {
      server[Symbol.dispose]();
      throw error;
    }
    return server;
  }

  async #listen({ host, port }: ListenAddress): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', (error) =>
        reject(
          new AdvisedError(
            new Error(`cannot listen at ${urlHost(host)}:${port}: ${messageOf(error)}`),
            'give another address with --listen',
          ),
        ),
      );
      this.#http.listen(port, host, resolve);
    });
  }

  get #port(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  /** The address of the page for a browser, with the token if there is one. */
  get url(): string {
    const { token } = this.#policy;
    // A browser cannot open the address of all interfaces.
    const host = this.#host === '0.0.0.0' || this.#host === '::' ? '127.0.0.1' : this.#host;
    return `http://${urlHost(host)}:${this.#port}/${token === undefined ? '' : `?token=${token}`}`;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { headers, method, url, socket } = request;
    // Node.js keeps 4 KB for each request behind an answer that is not read. Browsers send one
    // request at a time.
    if (this.#answering.has(socket)) return void socket.destroy();
    this.#answering.add(socket);
    response.once('close', () => this.#answering.delete(socket));
    setSecurityHeaders(response, headers.host ?? '');
    if (!isHostAllowed(headers.host, this.#policy))
      return refuse(response, 403, 'This host name is not allowed; see --allow-host.');
    if (method !== 'GET' && method !== 'HEAD') return refuse(response, 405, 'Only GET is allowed.');
    const { path, token } = parseRequestUrl(url);
    if (path === RPC_PATH) {
      // A browser does not tell the page why its WebSocket was refused, so the page asks here.
      if (!isTokenValid(token, this.#policy))
        return refuse(response, 401, 'The token is not valid.');
      response.writeHead(204).end();
      return;
    }
    // The files of the page are no secret, and need no token.
    const file = this.#files.get(path);
    if (file === undefined) return refuse(response, 404, 'There is no such page.');
    response.writeHead(200, {
      'Content-Type': file.type,
      'Content-Length': file.content.length,
    });
    response.end(method === 'HEAD' ? undefined : file.content);
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const { headers, url } = request;
    if (!isHostAllowed(headers.host, this.#policy) || !isOwnOrigin(headers))
      return refuseUpgrade(socket, '403 Forbidden');
    const { path, token } = parseRequestUrl(url);
    if (path !== RPC_PATH) return refuseUpgrade(socket, '404 Not Found');
    if (!isTokenValid(token, this.#policy)) return refuseUpgrade(socket, '401 Unauthorized');
    this.#relay.open(request, socket, head);
  }

  [Symbol.dispose](): void {
    this.#relay.close();
    this.#http.close();
    this.#http.closeAllConnections();
    this.#rpc.destroy();
  }
}

function setSecurityHeaders(response: ServerResponse, host: string): void {
  // Not all browsers take 'self' for the WebSocket of the same host.
  const socket = /^[\w.:[\]-]+$/.test(host) ? ` ws://${host} wss://${host}` : '';
  response.setHeader(
    'Content-Security-Policy',
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
      `connect-src 'self'${socket}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  );
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('Referrer-Policy', 'no-referrer');
  response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
  response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
  response.setHeader('Cache-Control', 'no-store');
}

function refuse(response: ServerResponse, status: number, text: string): void {
  const body = `${text}\n`;
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  });
  response.end(body);
}

/** The HTTP server has let go of the socket, so it must not wait for the client to close it. */
function refuseUpgrade(socket: Socket, status: string): void {
  socket.on('error', () => {}).once('timeout', () => socket.destroy());
  // A client that has not read its earlier answers may never read this one.
  if (socket.writableLength > 0) socket.destroy();
  else {
    socket.write(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    socket.destroySoon();
  }
}
