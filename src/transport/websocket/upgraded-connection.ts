import type { Socket } from 'node:net';
import type { Handshake, HandshakeTracker } from '../stream/handshake-tracker.js';
import { SocketConnection } from '../stream/socket-connection.js';
import type { Admission, ConnectionEvents, Peer, SocketSettings } from '../types.js';
import { statusResponse } from './handshake/server-handshake.js';

/** An upgrade request without a response. */
export interface PendingUpgrade {
  readonly socket: Socket;
  readonly handshake: Handshake;
  readonly handshakes: HandshakeTracker;
  /** The response with status 101. */
  readonly response: string;
  /** The bytes after the request. */
  readonly head: Buffer;
}

/**
 * The stream of an accepted upgrade request. attach() sends the response; refuse() sends another
 * status instead. The setup of the session decides between them.
 */
export class UpgradedConnection extends SocketConnection {
  readonly #admission: Admission;
  /** Undefined: the request has a response. */
  #pending: PendingUpgrade | undefined;
  #isLingering = false;

  constructor(
    peer: Peer,
    pending: PendingUpgrade,
    admission: Admission,
    settings?: SocketSettings,
  ) {
    super(pending.socket, peer, settings);
    this.#pending = pending;
    this.#admission = admission;
  }

  override attach(events: ConnectionEvents): void {
    const { socket, handshake, handshakes, response, head } = this.#pending as PendingUpgrade;
    this.#pending = undefined;
    handshakes.remove(handshake);
    socket.write(response);
    if (head.length > 0) socket.unshift(head);
    super.attach(events);
  }

  refuse(status: number): void {
    const { socket, handshake, handshakes } = this.#pending as PendingUpgrade;
    // The caller reports this refusal.
    handshake.isRefused = true;
    handshakes.answer(handshake, socket, statusResponse(status));
  }

  /** The session ends before its socket. Until deliverClose(), the socket counts as a session. */
  onSessionEnd(): void {
    this.#isLingering = true;
    this.#admission.countSession(this, 1);
  }

  override deliverClose(): void {
    if (this.#isLingering) this.#admission.countSession(this, -1);
    this.#isLingering = false;
    super.deliverClose();
  }
}
