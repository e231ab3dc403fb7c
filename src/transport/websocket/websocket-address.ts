/** The addresses of a WebSocket: `ws://host:port/path` and `wss://host:port/path`. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Address } from '../address.js';
import { SocketPeer, TlsPeer } from '../stream/socket-peer.js';
import type { Peer } from '../types.js';

export type WebSocketScheme = 'ws' | 'wss';

/** The path of an address; empty for any path, which `/` means too. */
export function pathOf({ path }: Address): string {
  return path === '/' ? '' : path;
}

/** The peer of a socket. `remotePath` and `localPath` become parts of its addresses. */
export function peerOf(
  scheme: WebSocketScheme,
  socket: Socket,
  remotePath: string,
  localPath: string,
): Peer {
  const peer: Peer =
    scheme === 'wss' ? new TlsPeer(scheme, socket as TLSSocket) : new SocketPeer(scheme, socket);
  const { localAddress, remoteAddress, certificate } = peer;
  return {
    certificate,
    localAddress: localAddress + localPath,
    remoteAddress: remoteAddress + remotePath,
  };
}
