/** The addresses of a WebSocket: `ws://host:port/path` and `wss://host:port/path`. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Address } from '../address.js';
import type { HostAddress } from '../proxies/ip-address.js';
import { SocketPeer, TlsPeer } from '../stream/socket-peer.js';
import type { Peer } from '../types.js';

export type WebSocketScheme = 'ws' | 'wss';

/** The path of an address; empty for any path, which `/` means too. */
export function pathOf({ path }: Address): string {
  return path === '/' ? '' : path;
}

/**
 * The peer of a socket. `remotePath` and `localPath` become parts of its addresses. `remote`: see
 * SocketPeer.
 */
export function peerOf(
  scheme: WebSocketScheme,
  socket: Socket,
  remotePath: string,
  localPath: string,
  remote?: HostAddress,
): Peer {
  const peer: Peer =
    scheme === 'wss'
      ? new TlsPeer(scheme, socket as TLSSocket, remote)
      : new SocketPeer(scheme, socket, remote);
  const { localAddress, remoteAddress, certificate, encrypted } = peer;
  return {
    certificate,
    encrypted,
    localAddress: localAddress + localPath,
    remoteAddress: remoteAddress + remotePath,
  };
}
