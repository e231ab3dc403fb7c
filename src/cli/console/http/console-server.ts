/** The HTTP server of the console: its page, and the WebSocket of the page. */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { messageOf } from '../../../core/errors.js';
import { type RpcServer, type Service, serve } from '../../../rpc/index.js';
import { AdvisedError } from '../../failure.js';
import { MAX_MESSAGE_BYTES } from '../limits.js';
import { isLoopback, type ListenAddress, urlHost } from './listen-address.js';
import { type PageFile, readPageFiles } from './page-files.js';
import { RequestListener } from './request-listener.js';
import {
  isHostAllowed,
  isOwnOrigin,
  isTokenValid,
  parseRequestUrl,
  type RequestPolicy,
} from './request-policy.js';
import { answer, type Response, textResponse } from './response.js';
import { UpgradeRelay } from './upgrade-relay.js';

/** The most connections, and the most pages that are open: a few tabs of a few people. */
const MAX_CONNECTIONS = 200;
const MAX_PAGES = 50;
/** Of a page: what it asks at the same time, and its calls with the stream of updates. */
const PAGE_LIMITS = { maxPendingCalls: 64, maxStreams: 16 };
/** The path of the WebSocket. */
const RPC_PATH = '/rpc';

export interface ConsoleServerOptions {
  readonly listen: ListenAddress;
  /** Names that the Host header may have, besides IP addresses, localhost and that of `listen`. */
  readonly hosts: readonly string[];
  /** Whether a token is needed on this machine too. It is always needed elsewhere. */
  readonly needsToken: boolean;
  /** Milliseconds for a request and its answer. Default: 10,000. */
  readonly httpTimeout?: number;
  /** Milliseconds until a WebSocket that sends and receives nothing is closed. Default: 60,000. */
  readonly socketTimeout?: number;
}

export class ConsoleServer implements Disposable {
  readonly #listener: RequestListener;
  readonly #rpc: RpcServer;
  readonly #relay: UpgradeRelay;
  readonly #files: ReadonlyMap<string, PageFile>;
  readonly #host: string;
  readonly #policy: RequestPolicy;

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
    this.#listener = new RequestListener({
      maxConnections: MAX_CONNECTIONS,
      timeout: httpTimeout,
      onRequest: (request, socket) =>
        answer(socket, this.#responseTo(request), request.method === 'HEAD'),
      onUpgrade: (request, socket, head) => this.#upgrade(request, socket, head),
      onInvalid: (socket) => answer(socket, textResponse(400, 'This is no HTTP request.')),
    });
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
    try {
      await this.#listener.listen(port, host);
    } catch (error) {
      throw new AdvisedError(
        new Error(`cannot listen at ${urlHost(host)}:${port}: ${messageOf(error)}`),
        'give another address with --listen',
      );
    }
  }

  /** The address of the page for a browser, with the token if there is one. */
  get url(): string {
    const { token } = this.#policy;
    // A browser cannot open the address of all interfaces.
    const host = this.#host === '0.0.0.0' || this.#host === '::' ? '127.0.0.1' : this.#host;
    return `http://${urlHost(host)}:${this.#listener.port}/${token === undefined ? '' : `?token=${token}`}`;
  }

  #responseTo({ headers, method, url }: IncomingMessage): Response {
    const security = securityHeaders(headers.host ?? '');
    const refusal = (status: number, text: string): Response =>
      textResponse(status, text, security);
    if (!isHostAllowed(headers.host, this.#policy))
      return refusal(403, 'This host name is not allowed; see --allow-host.');
    if (method !== 'GET' && method !== 'HEAD') return refusal(405, 'Only GET is allowed.');
    const { path, token } = parseRequestUrl(url);
    if (path === RPC_PATH) {
      // A browser does not tell the page why its WebSocket was refused, so the page asks here.
      if (!isTokenValid(token, this.#policy)) return refusal(401, 'The token is not valid.');
      return { status: 204, headers: security };
    }
    // The files of the page are no secret, and need no token.
    const file = this.#files.get(path);
    if (file === undefined) return refusal(404, 'There is no such page.');
    return {
      status: 200,
      headers: { ...security, 'Content-Type': file.type },
      body: file.content,
    };
  }

  /** Returns whether the socket is that of a page. */
  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): boolean {
    const status = this.#upgradeRefusal(request);
    if (status === undefined) this.#relay.open(request, socket, head);
    else answer(socket, { status });
    return status === undefined;
  }

  #upgradeRefusal({ headers, url }: IncomingMessage): number | undefined {
    if (!isHostAllowed(headers.host, this.#policy) || !isOwnOrigin(headers)) return 403;
    const { path, token } = parseRequestUrl(url);
    if (path !== RPC_PATH) return 404;
    return isTokenValid(token, this.#policy) ? undefined : 401;
  }

  [Symbol.dispose](): void {
    this.#relay.close();
    this.#listener[Symbol.dispose]();
    this.#rpc.destroy();
  }
}

function securityHeaders(host: string): Readonly<Record<string, string>> {
  // Not all browsers take 'self' for the WebSocket of the same host.
  const socket = /^[\w.:[\]-]+$/.test(host) ? ` ws://${host} wss://${host}` : '';
  return {
    'Content-Security-Policy':
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
      `connect-src 'self'${socket}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cache-Control': 'no-store',
  };
}
