/** Parses the HTTP requests that RequestReaders read. */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { RequestReader } from './request-reader.js';

export type HttpError = Error & { code?: string | undefined };

/** What to do with what was read. The socket is paused, and has no listener of the parser left. */
export interface RequestHandlers {
  /** `expects`: the request has an Expect header, so its sender may wait for an answer to it. */
  onRequest(request: IncomingMessage, socket: Socket, expects: boolean): void;
  /** `head`: bytes after the request. */
  onUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void;
  /** The bytes are no HTTP request, or its headers are too long. */
  onInvalid(error: HttpError, socket: Socket): void;
  /** Handling bytes or a request threw `error`. Must not throw. */
  onFault(socket: Socket, error: unknown): void;
}

/** One parser reads the requests of many connections. */
export class RequestParser {
  readonly #handlers: RequestHandlers;
  readonly #server: Server;

  /** `maxHeaderSize`: bytes of the headers of a request. */
  constructor(maxHeaderSize: number, handlers: RequestHandlers) {
    this.#handlers = handlers;
    // It never listens. Who opens a connection limits its time.
    this.#server = createServer({
      maxHeaderSize,
      headersTimeout: 0,
      requestTimeout: 0,
      keepAliveTimeout: 0,
      requireHostHeader: false,
    });
    for (const event of ['request', 'connect'])
      this.#on(event, (request, socket) => handlers.onRequest(request, socket, false));
    for (const event of ['checkContinue', 'checkExpectation'])
      this.#on(event, (request, socket) => handlers.onRequest(request, socket, true));
    this.#on('upgrade', (request, socket, head) => handlers.onUpgrade(request, socket, head));
    this.#server.on('clientError', (error: HttpError, stream) =>
      this.#handle(stream, (socket) => handlers.onInvalid(error, socket)),
    );
  }

  /** Reads one request of `socket`. */
  read(socket: Socket): void {
    new RequestReader(socket, this.#server, (reader, error) =>
      this.#handlers.onFault(reader.socket, error),
    );
  }

  #on(event: string, handle: RequestHandlers['onUpgrade']): void {
    this.#server.on(event, (request: IncomingMessage) =>
      this.#handle(request.socket, (socket, head) => handle(request, socket, head)),
    );
  }

  /** `stream`: the reader, which the parser got in place of a socket. */
  #handle(stream: unknown, handle: (socket: Socket, head: Buffer) => void): void {
    const reader = stream as RequestReader;
    const head = reader.release();
    if (head === undefined) return;
    try {
      handle(reader.socket, head);
    } catch (error) {
      this.#handlers.onFault(reader.socket, error);
    }
  }
}
