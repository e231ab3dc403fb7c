/** Passes the upgrade requests of one HTTP server on to the WebSocket servers at its paths. */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { gettyError } from '../../../core/errors.js';
import { encodePath } from '../../address.js';
import { destroyAfterLinger } from '../../linger.js';
import { statusResponse } from '../handshake/server-handshake.js';
import { pathAndQueryOf } from '../handshake/upgrade-request.js';

/** Answers an upgrade request. Must not throw. */
export type UpgradeHandler = (request: IncomingMessage, socket: Socket, head: Buffer) => void;

type UpgradeListener = (request: IncomingMessage, stream: Duplex, head: Buffer) => void;

/**
 * The routers that have a path, by their listener of the event 'upgrade'. Not by server: a Proxy of
 * a server is another object, but has the same listeners.
 */
const routers = new WeakMap<object, UpgradeRouter>();

/** The router of `server`: all WebSocket servers on it share one. */
export function routerOf(server: Server): UpgradeRouter {
  for (const listener of server.listeners('upgrade')) {
    const router = routers.get(listener);
    if (router !== undefined) return router;
  }
  return new UpgradeRouter(server);
}

/** Listens to the event 'upgrade' of its HTTP server while it has a path. */
class UpgradeRouter {
  readonly #server: Server;
  readonly #handlers = new Map<string, UpgradeHandler>();

  constructor(server: Server) {
    this.#server = server;
  }

  /** `path`: by encodePath(). Throws LISTEN_FAILED if the path has a handler. */
  add(path: string, handler: UpgradeHandler): void {
    if (this.#handlers.has(path))
      throw gettyError(
        'LISTEN_FAILED',
        `cannot listen at ${path} of the HTTP server: another server of this package is there`,
      );
    if (this.#handlers.size === 0) {
      this.#server.on('upgrade', this.#onUpgrade);
      routers.set(this.#onUpgrade, this);
    }
    this.#handlers.set(path, handler);
  }

  remove(path: string): void {
    this.#handlers.delete(path);
    if (this.#handlers.size === 0) this.#server.off('upgrade', this.#onUpgrade);
  }

  readonly #onUpgrade: UpgradeListener = (request, stream, head) => {
    const path = pathAndQueryOf(request.url ?? '')?.split('?', 1)[0];
    const handler = path === undefined ? undefined : this.#handlers.get(encodePath(path));
    if (handler !== undefined) handler(request, socketOf(request, stream), head);
    // Another listener may answer. Without one, the peer would wait for ever.
    else if (this.#server.listenerCount('upgrade') === 1) answerNotFound(socketOf(request, stream));
  };
}

/**
 * Since Node.js 26, the stream of a request whose body has not arrived is no socket. Its errors are
 * those of the socket.
 */
function socketOf(request: IncomingMessage, stream: Duplex): Socket {
  if (stream !== request.socket) stream.on('error', () => {});
  return request.socket;
}

function answerNotFound(socket: Socket): void {
  const timer = destroyAfterLinger(socket);
  socket.on('error', () => {}).once('close', () => clearTimeout(timer));
  socket.end(statusResponse(404));
  // Unread bytes make the system reset the connection, and the peer could lose the response.
  socket.resume();
}
