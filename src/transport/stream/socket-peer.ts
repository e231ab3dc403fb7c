/** The peer of a TCP or TLS socket. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { formatAddress } from '../address.js';
import type { HostAddress } from '../proxies/ip-address.js';
import type { Peer, PeerCertificate } from '../types.js';

/**
 * Whether the peer of an accepted TCP socket has reset the connection already. The system may have
 * bytes of it, but no address, so no list and no limit per address could hold for it.
 */
export function hasReset(socket: Socket): boolean {
  return socket.remoteAddress === undefined;
}

/** The addresses of both ends of a TCP socket. Most are never read, so a getter formats them. */
export class SocketPeer implements Peer {
  readonly #scheme: string;
  readonly #socket: Socket;
  #localAddress: string | undefined;
  #remoteAddress: string | undefined;

  /** `remote`: the host and port of the peer, if it is not the other end of the socket. */
  constructor(scheme: string, socket: Socket, remote?: HostAddress) {
    this.#scheme = scheme;
    this.#socket = socket;
    if (remote !== undefined) this.#remoteAddress = formatAddress(scheme, remote.host, remote.port);
    // Node.js keeps the peer's address after the first read, also when the socket is closed.
    void socket.remotePort;
  }

  get remoteAddress(): string {
    this.#remoteAddress ??= formatAddress(
      this.#scheme,
      this.#socket.remoteAddress ?? '',
      this.#socket.remotePort ?? 0,
    );
    return this.#remoteAddress;
  }

  /** Has port 0 if it is first read after the socket is closed. */
  get localAddress(): string {
    this.#localAddress ??= formatAddress(
      this.#scheme,
      this.#socket.localAddress ?? '',
      this.#socket.localPort ?? 0,
    );
    return this.#localAddress;
  }
}

/** The addresses and the verified certificate of a TLS socket's peer. */
export class TlsPeer extends SocketPeer {
  readonly #socket: TLSSocket;

  constructor(scheme: string, socket: TLSSocket, remote?: HostAddress) {
    super(scheme, socket, remote);
    this.#socket = socket;
  }

  get encrypted(): boolean {
    return true;
  }

  get certificate(): PeerCertificate | undefined {
    return certificateOf(this.#socket);
  }
}

/** The verified certificate of the socket's peer. Undefined if it has presented none. */
export function certificateOf(socket: TLSSocket): PeerCertificate | undefined {
  const certificate = socket.authorized ? socket.getPeerCertificate() : undefined;
  if (certificate?.fingerprint256 === undefined) return undefined;
  const { subject, subjectaltname, fingerprint256, serialNumber } = certificate;
  return {
    commonName: [subject?.CN ?? ''].flat().join(', '),
    altNames: subjectaltname?.split(', ') ?? [],
    fingerprint: fingerprint256,
    serialNumber,
  };
}
