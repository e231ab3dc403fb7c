/** TCP. */
import { connect, createServer, type Socket } from 'node:net';
import { gettyError, messageOf } from '../errors.js';
import { formatAddress } from './address.js';
import type { Connection, ConnectionEvents, Listener, Transport } from './types.js';

const KEEP_ALIVE_DELAY = 60_000;

class TcpConnection implements Connection {
  readonly localAddress: string;
  readonly remoteAddress: string;
  readonly #socket: Socket;
  #events: ConnectionEvents | undefined;
  #error: Error | undefined;
  #written = 0;
  #takenBytes = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.localAddress = formatAddress('tcp', socket.localAddress ?? '', socket.localPort ?? 0);
    this.remoteAddress = formatAddress('tcp', socket.remoteAddress ?? '', socket.remotePort ?? 0);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY);
  }

  attach(events: ConnectionEvents): void {
    const socket = this.#socket;
    this.#events = events;
    socket.on('data', (chunk: Buffer) => events.onData(chunk));
    socket.on('end', () => events.onEnd());
    socket.on('error', (error) => {
      this.#error = gettyError('CONNECTION_LOST', `the connection with ${this.remoteAddress} broke: ${error.message}`, error);
    });
    socket.on('close', () => events.onClose(this.#error));
    // A socket that died before anybody listened will not say so again.
    if (socket.closed) queueMicrotask(() => events.onClose(this.#error));
  }

  get bufferedBytes(): number {
    // A broken socket drops its queue and then says that nothing is left of it; what was not taken before never is.
    if (!this.#socket.destroyed && this.#socket.errored === null) this.#takenBytes = this.#written - this.#socket.writableLength;
    return this.#written - this.#takenBytes;
  }

  readonly #taken = (error?: Error | null): void => {
    if (error == null) this.#events?.onTaken();
  };

  write(bytes: Uint8Array): void {
    this.#written += bytes.length;
    this.#socket.write(bytes, this.#taken);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** A name with several addresses fails with one error for each, gathered in one that has no message of its own. */
function reasonOf(error: unknown): string {
  return error instanceof AggregateError ? error.errors.map(messageOf).join(', ') : messageOf(error);
}

export const tcp: Transport = {
  listen: (address, options, accept) =>
    new Promise((resolve, reject) => {
      // Half-open, so that what is being handled when the peer ends can still be answered.
      const server = createServer({ allowHalfOpen: true }, (socket) => accept(new TcpConnection(socket)));
      server.once('error', (error) => {
        reject(gettyError('LISTEN_FAILED', `cannot listen at ${address.text}: ${error.message}`, error));
      });
      server.listen({ port: address.port, host: address.host || undefined, backlog: options.backlog }, () => {
        server.removeAllListeners('error');
        // Failing to accept one connection (out of file descriptors) must not end the process.
        server.on('error', (error) => process.emitWarning(gettyError('LISTEN_FAILED', `at ${address.text}: ${messageOf(error)}`, error)));
        const bound = server.address();
        const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
        const listener: Listener = {
          address: formatAddress('tcp', address.host, port),
          close: () => new Promise((done) => server.close(() => done())),
        };
        resolve(listener);
      });
    }),

  dial: (address, signal) =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: address.host || 'localhost', port: address.port, allowHalfOpen: true });
      const fail = (error: unknown): void => {
        socket.destroy();
        signal.removeEventListener('abort', abort);
        reject(gettyError('CONNECT_FAILED', `cannot connect to ${address.text}: ${reasonOf(error)}`, error));
      };
      const abort = (): void => fail(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
      socket.once('error', fail);
      socket.once('connect', () => {
        socket.removeListener('error', fail);
        signal.removeEventListener('abort', abort);
        resolve(new TcpConnection(socket));
      });
    }),
};
