/** Listens at one path of an HTTP server that the program has created. */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { guarded } from '../../../core/guard.js';
import { badOption } from '../../../core/options.js';
import { onNextTurn, spend, unitsOf } from '../../../core/turn.js';
import { formatAddress } from '../../address.js';
import { HandshakeTracker } from '../../stream/handshake-tracker.js';
import type { HttpServer, Listener, ListenOptions } from '../../types.js';
import { REQUEST_UNITS } from '../handshake/request-reader.js';
import { UpgradeAcceptor, type UpgradeAcceptorOptions } from '../upgrade-acceptor.js';
import { routerOf } from './upgrade-router.js';

function ignore(): void {}

/**
 * Accepts the WebSocket connections at a path of `httpServer`, also when it begins to listen later.
 * Throws BAD_OPTION, or LISTEN_FAILED if another server of this package has the path.
 */
export function listenOnHttpServer(
  httpServer: HttpServer,
  options: Omit<UpgradeAcceptorOptions, 'handshakes' | 'host'>,
  { handshakeTimeout }: ListenOptions,
): Listener {
  const { scheme, path, admission, websocket } = options;
  if (websocket.health !== undefined)
    throw badOption(
      'websocket.health',
      websocket.health,
      'no health check here: the HTTP server answers its own requests',
    );
  // parseHttpServerAddress() has checked the class.
  const server = httpServer as Server;
  const handshakes = new HandshakeTracker({
    scheme,
    handshakeTimeout,
    admission,
    behindProxy: options.behindProxy,
    // Each handshake has one socket here. Those of a Unix socket have no addresses.
    keyOf: (socket) => socket,
    mayLackAddress: () => typeof server.address() === 'string',
  });
  // The name that was given to listen() is not known; the option allowHost has further names.
  const acceptor = new UpgradeAcceptor({ ...options, handshakes, host: '' });
  const requests = new UpgradeRequests(acceptor, handshakes);
  let address = '';
  const setAddress = (): void => {
    const bound = server.address();
    if (typeof bound === 'object' && bound !== null)
      address = formatAddress(scheme, bound.address, bound.port) + path;
  };
  setAddress();
  const router = routerOf(server);
  router.add(path, (request, socket, head) => requests.handle(request, socket, head));
  server.on('listening', setAddress);
  return {
    get address() {
      return address;
    },
    async close() {
      server.off('listening', setAddress);
      router.remove(path);
      handshakes.stop();
    },
  };
}

interface UpgradeEvent {
  readonly request: IncomingMessage;
  readonly socket: Socket;
  readonly head: Buffer;
}

/** Begins the handshake of each upgrade request at the path. */
class UpgradeRequests {
  readonly #acceptor: UpgradeAcceptor;
  readonly #handshakes: HandshakeTracker;

  constructor(acceptor: UpgradeAcceptor, handshakes: HandshakeTracker) {
    this.#acceptor = acceptor;
    this.#handshakes = handshakes;
  }

  handle(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.#guarded(socket, () => this.#begin({ request, socket, head }))();
  }

  #begin(event: UpgradeEvent): void {
    const { socket, head } = event;
    // An error without a listener would end the process. The 'close' event follows it.
    socket.on('error', ignore);
    // The timeouts of the HTTP server are for requests; a session has its own.
    socket.setTimeout(0);
    socket.allowHalfOpen = true;
    socket.pause();
    this.#handshakes.begin(socket);
    if (spend(REQUEST_UNITS + unitsOf(head.length))) {
      onNextTurn(this.#guarded(socket, () => this.#upgrade(event)));
    } else this.#upgrade(event);
  }

  #upgrade({ request, socket, head }: UpgradeEvent): void {
    // Without a handshake the limits of the server have refused it, or its time is over.
    if (this.#handshakes.find(socket) !== undefined) this.#acceptor.upgrade(request, socket, head);
  }

  #guarded(socket: Socket, handle: () => void): () => void {
    return guarded(handle, (error) => this.#acceptor.onFault(socket, error));
  }
}
