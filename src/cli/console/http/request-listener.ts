/**
 * Listens for HTTP connections, and reads one request of each. So a peer that does not wait for its
 * answers has no more requests in memory.
 */
import type { IncomingMessage } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { startTimer } from '../../../core/timers.js';
import { RequestParser } from '../../../transport/websocket/handshake/request-parser.js';

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
  readonly #net: Server;
  readonly #parser: RequestParser;
  readonly #options: RequestListenerOptions;
  /** The connections that are no WebSocket, with their timers. */
  readonly #timers = new Map<Socket, NodeJS.Timeout>();

  constructor(options: RequestListenerOptions) {
    this.#options = options;
    const { onRequest, onUpgrade, onInvalid } = options;
    this.#parser = new RequestParser(MAX_HEADER_BYTES, {
      onRequest,
      onUpgrade: (request, socket, head) => {
        if (onUpgrade(request, socket, head)) this.#stopTimer(socket);
      },
      onInvalid: (_, socket) => onInvalid(socket),
      onFault: (socket) => socket.destroy(),
    });
    this.#net = createServer({ noDelay: true }, (socket) => this.#open(socket));
    this.#net.maxConnections = options.maxConnections;
  }

  /** Rejects with the error of the system if the port cannot be used. */
  listen(port: number, host: string): Promise<void> {
    return new Promise((resolve, reject) => {
      // Stays: a later error, such as one of accept(), must not end the process.
      this.#net.on('error', reject);
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
    this.#parser.read(socket);
  }

  #stopTimer(socket: Socket): void {
    clearTimeout(this.#timers.get(socket));
    this.#timers.delete(socket);
  }

  [Symbol.dispose](): void {
    this.#net.close();
    for (const socket of [...this.#timers.keys()]) socket.destroy();
  }
}
