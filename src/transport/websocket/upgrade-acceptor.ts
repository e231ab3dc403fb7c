/** Answers the upgrade requests of one server, and accepts the WebSocket connections among them. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { gettyError } from '../../core/errors.js';
import { guarded } from '../../core/guard.js';
import { runInTurn } from '../../core/turn.js';
import type { HandshakeTracker } from '../stream/handshake-tracker.js';
import { SocketPeer } from '../stream/socket-peer.js';
import type { Admission, Connection, Peer, WebSocketOptions } from '../types.js';
import { isOriginAllowed } from './handshake/origin-policy.js';
import {
  type AcceptedUpgrade,
  answerUpgrade,
  type RefusedUpgrade,
  refuseOrigin,
} from './handshake/server-handshake.js';
import { UpgradedConnection } from './upgraded-connection.js';
import { peerOf, type WebSocketScheme } from './websocket-address.js';
import { type ConnectionSettings, WebSocketConnection } from './websocket-connection.js';

export interface UpgradeAcceptorOptions {
  readonly scheme: WebSocketScheme;
  /** Empty: any path. */
  readonly path: string;
  /** The host of the server's address; empty for all interfaces, or if it is not known. */
  readonly host: string;
  readonly websocket: WebSocketOptions;
  readonly admission: Admission;
  /** Has the handshake of each socket that is passed to the methods. */
  readonly handshakes: HandshakeTracker;
  readonly accept: (connection: Connection) => void;
}

export class UpgradeAcceptor {
  readonly #options: UpgradeAcceptorOptions;
  readonly #handshakes: HandshakeTracker;

  constructor(options: UpgradeAcceptorOptions) {
    this.#options = options;
    this.#handshakes = options.handshakes;
  }

  /** Counts a fault, and closes the connection. */
  onFault(socket: Socket, error: unknown): void {
    const { scheme, admission } = this.#options;
    admission.reportFault(new SocketPeer(scheme, socket), error);
    socket.destroy();
  }

  /** Answers an upgrade request. `head`: the bytes after it. */
  upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const { path, host, websocket, admission } = this.#options;
    const upgrade = answerUpgrade(request, path, websocket, host);
    if (upgrade.refusal !== undefined) return this.refuse(request, socket, upgrade);
    const { originToAsk: origin } = upgrade;
    if (origin === undefined) return this.#open(socket, head, upgrade);
    void isOriginAllowed(websocket.allowOrigin, origin, (error) => {
      admission.warnOncePerMinute(
        gettyError('HANDLER_FAILED', 'allowOrigin failed, so the origin was refused', error),
      );
    }).then((isAllowed) => {
      const finish = (): void =>
        isAllowed
          ? this.#open(socket, head, upgrade)
          : this.refuse(request, socket, refuseOrigin(origin));
      // Many requests may wait for one promise.
      runInTurn(guarded(finish, (error) => this.onFault(socket, error)));
    });
  }

  /** Counts the refusal of a request, and answers it. */
  refuse(request: IncomingMessage, socket: Socket, { response, refusal }: RefusedUpgrade): void {
    const handshake = this.#handshakes.find(socket);
    if (handshake === undefined) return void socket.destroy();
    this.#handshakes.reportRefusal(handshake, refusal, this.#requestPeer(request, socket));
    this.#handshakes.answer(handshake, socket, response);
  }

  /** The peer of a request that has no connection. */
  #requestPeer({ url = '', headers }: IncomingMessage, socket: Socket): Peer {
    const { scheme, path } = this.#options;
    const { localAddress, remoteAddress } = new SocketPeer(scheme, socket);
    return { localAddress: localAddress + path, remoteAddress, request: { url, headers } };
  }

  #open(socket: Socket, head: Buffer, upgrade: AcceptedUpgrade): void {
    const { scheme, path, websocket, admission, accept } = this.#options;
    const handshake = this.#handshakes.find(socket);
    // While allowOrigin was called, the handshake may have ended, or the peer may have closed. A
    // session would never get the 'end' event that the socket has already emitted.
    if (handshake === undefined || socket.destroyed || socket.readableEnded)
      return void socket.destroy();
    const { request, result, response } = upgrade;
    const settings: ConnectionSettings = {
      role: 'server',
      isText: websocket.text ?? false,
      request,
      ...result,
    };
    const stream = new UpgradedConnection(
      peerOf(scheme, socket, '', path),
      { socket, handshake, handshakes: this.#handshakes, response, head },
      admission,
    );
    accept(new WebSocketConnection(stream, settings));
  }
}
