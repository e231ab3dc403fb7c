/** Answers the upgrade requests of one server, and accepts the WebSocket connections among them. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { gettyError, messageOf } from '../../core/errors.js';
import { guarded } from '../../core/guard.js';
import { forwardedClient } from '../proxies/forwarded-header.js';
import type { HostAddress } from '../proxies/ip-address.js';
import { RefusedError } from '../refused-error.js';
import type { Handshake, HandshakeTracker } from '../stream/handshake-tracker.js';
import { SocketPeer } from '../stream/socket-peer.js';
import type {
  Admission,
  Connection,
  Peer,
  ProxySettings,
  SocketSettings,
  WebSocketOptions,
} from '../types.js';
import { isOriginAllowed } from './handshake/origin-policy.js';
import {
  type AcceptedUpgrade,
  answerUpgrade,
  type RefusedUpgrade,
  refuseOrigin,
  statusResponse,
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
  readonly behindProxy: ProxySettings | undefined;
  readonly socketSettings: SocketSettings | undefined;
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

  /** Not a function within upgrade(), which would keep the request in memory. */
  readonly #onOriginFailed = (error: unknown): void =>
    this.#options.admission.warnOncePerMinute(
      gettyError('HANDLER_FAILED', 'allowOrigin failed, so the origin was refused', error),
    );

  /** Counts a fault, and closes the connection. */
  onFault(socket: Socket, error: unknown): void {
    const { scheme, admission } = this.#options;
    admission.reportFault(new SocketPeer(scheme, socket), error);
    socket.destroy();
  }

  /** Answers an upgrade request. `head`: the bytes after it. */
  upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    const refusal = this.#identify(request, socket);
    if (refusal !== undefined) return this.refuse(request, socket, refusal);
    const { path, host, websocket } = this.#options;
    const upgrade = answerUpgrade(request, path, websocket, host);
    if (upgrade.refusal !== undefined) return this.refuse(request, socket, upgrade);
    const { originToAsk: origin } = upgrade;
    if (origin === undefined) return this.#open(socket, head, upgrade);
    const handshake = this.#handshakes.find(socket);
    if (handshake === undefined) return void socket.destroy();
    const decided = isOriginAllowed(websocket.allowOrigin, origin, this.#onOriginFailed);
    this.#handshakes.whenDecided(handshake, decided, (isAllowed) => {
      const finish = (): void =>
        isAllowed
          ? this.#open(socket, head, upgrade)
          : this.refuse(request, socket, refuseOrigin(origin));
      guarded(finish, (error) => this.onFault(socket, error))();
    });
  }

  /**
   * Reads which client a trusted proxy names in the headers of its request. Returns the refusal of
   * that client, or of headers that cannot be read.
   */
  #identify(request: IncomingMessage, socket: Socket): RefusedUpgrade | undefined {
    const { behindProxy } = this.#options;
    const handshake = this.#handshakes.find(socket);
    if (behindProxy === undefined || handshake?.isClientPending !== true) return undefined;
    let client: HostAddress | undefined;
    try {
      client = forwardedClient(request.headers, behindProxy);
    } catch (error) {
      const refusal = new RefusedError(messageOf(error), { status: 400, reason: 'proxy' });
      return { response: statusResponse(400), refusal };
    }
    const refusal = this.#handshakes.setClient(handshake, client);
    return refusal && { response: statusResponse(refusal.status), refusal };
  }

  /** Counts the refusal of a request, and answers it. */
  refuse(request: IncomingMessage, socket: Socket, { response, refusal }: RefusedUpgrade): void {
    const handshake = this.#handshakes.find(socket);
    if (handshake === undefined) return void socket.destroy();
    // So that the report has the client of a proxy. Another refusal of that client does not matter.
    this.#identify(request, socket);
    this.#handshakes.reportRefusal(handshake, refusal, this.#requestPeer(request, handshake));
    this.#handshakes.answer(handshake, socket, response);
  }

  /** The peer of a request that has no connection. */
  #requestPeer({ url = '', headers }: IncomingMessage, { peer }: Handshake): Peer {
    const { path } = this.#options;
    const { localAddress, remoteAddress } = peer;
    return { localAddress: localAddress + path, remoteAddress, request: { url, headers } };
  }

  #open(socket: Socket, head: Buffer, upgrade: AcceptedUpgrade): void {
    const { path, websocket, admission, socketSettings, accept } = this.#options;
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
      peerOf(handshake.scheme as WebSocketScheme, socket, '', path, handshake.client),
      { socket, handshake, handshakes: this.#handshakes, response, head },
      admission,
      socketSettings,
    );
    accept(new WebSocketConnection(stream, settings));
  }
}
