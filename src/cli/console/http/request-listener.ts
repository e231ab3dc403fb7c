/**
 * Listens for HTTP connections, and reads one request of each. So a peer that does not wait for its
 * answers has no more requests in memory.
 */
import { createServer as createParser, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net';
import { startTimer } from '../../../core/timers.js';
import { RequestReader } from '../../../transport/websocket/handshake/request-reader.js';

/** Bytes of the headers of a request. */
const MAX_HEADER_BYTES = 16 * 1024;

export interface RequestListenerOptions {
  readonly maxConnections: number;
  /** Milliseconds for a request and its answer. */
  readonly timeout: number;
  /** Answers the request, and ends the socket. */
  readonly onRequest: (request: IncomingMessage, socket: Socket) => void;
  /**
   * Returns whether it keeps the socket, whose time is not limited then. `head`: bytes after the
   * request.
   */
  readonly onUpgrade: (request: IncomingMessage, socket: Socket, head: Buffer) => boolean;
  /** The bytes are no HTTP request, or its headers are too long. */
  readonly onInvalid: (socket: Socket) => void;
}

export class RequestListener implements Disposable {
  readonly #net: NetServer;
  readonly #parser: Server;
  readonly #options: RequestListenerOptions;
  /** The connections that are no WebSocket, with their timers. */
  readonly #timers = new Map<Socket, NodeJS.Timeout>();

  constructor(options: RequestListenerOptions) {
    this.#options = options;
    this.#parser = this.#createParser();
    this.#net = createServer({ noDelay: true }, (socket) => this.#open(socket));
    this.#net.maxConnections = options.maxConnections;
  }

  /** Rejects with the error of the system if the port cannot be used. */
  listen(port: number, host: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#net.once('error', reject);
      this.#net.listen(port, host, resolve);
    });
  }

  get port(): number {
    return (this.#net.address() as AddressInfo).port;
  }

  #open(socket: Socket): void {
    const timer = startTimer(() => socket.destroy(), this.#options.timeout);
    this.#timers.set(socket, timer);
    socket.once('close', () => this.#stopTimer(socket));
    new RequestReader(socket, this.#parser, (reader) => reader.socket.destroy());
  }

  #stopTimer(socket: Socket): void {
    clearTimeout(this.#timers.get(socket));
    this.#timers.delete(socket);
  }

  #createParser(): Server {
    const { onRequest, onUpgrade, onInvalid } = this.#options;
    // `timeout` limits the whole request.
    const limits = { headersTimeout: 0, requestTimeout: 0, keepAliveTimeout: 0 };
    const parser = createParser({ maxHeaderSize: MAX_HEADER_BYTES, ...limits });
    const answer = ({ socket }: IncomingMessage, act: (socket: Socket, head: Buffer) => void) => {
      const reader = socket as unknown as RequestReader;
      const head = reader.release();
      if (head !== undefined) act(reader.socket, head);
    };
    for (const event of ['request', 'connect', 'checkContinue', 'checkExpectation'])
      parser.on(event, (request) => answer(request, (socket) => onRequest(request, socket)));
    parser.on('upgrade', (request) =>
      answer(request, (socket, head) => {
        if (onUpgrade(request, socket, head)) this.#stopTimer(socket);
      }),
    );
    parser.on('clientError', (_, stream) => {
      const reader = stream as unknown as RequestReader;
      if (reader.release() !== undefined) onInvalid(reader.socket);
    });
    return parser;
  }

  [Symbol.dispose](): void {
    this.#net.close();
    for (const socket of [...this.#timers.keys()]) socket.destroy();
  }
}
