/** Unix domain sockets: `unix:///path/of/the/socket`. */
import { unlink } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Address } from './address.js';
import { dialled, listenWith, SocketConnection } from './socket.js';
import type { Listener, ListenOptions, Peer, Transport } from './types.js';

let lastPeer = 0;

/** The socket has one path; the peers are told apart by a number. */
function serverSide({ path }: Address): Peer {
  return { localAddress: `unix://${path}`, remoteAddress: `unix://${path}#${++lastPeer}` };
}

function bind(address: Address, options: ListenOptions, accept: Parameters<Transport['listen']>[2]): Promise<Listener> {
  const server = createServer({ allowHalfOpen: true }, (socket) => accept(new SocketConnection(socket, serverSide(address))));
  return listenWith(server, { path: address.path, backlog: options.backlog }, address, () => `unix://${address.path}`);
}

/** Whether the file is what a server left that did not end in order: nobody answers at it. */
function isStale(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}

export const unix: Transport = {
  async listen(address, options, accept) {
    try {
      return await bind(address, options, accept);
    } catch (error) {
      const { code } = (error as Error).cause as NodeJS.ErrnoException;
      if (code !== 'EADDRINUSE' || !(await isStale(address.path))) throw error;
      await unlink(address.path);
      return bind(address, options, accept);
    }
  },

  async dial(address, _options, signal) {
    const socket = connect({ path: address.path, allowHalfOpen: true });
    await dialled(socket, 'connect', address, signal);
    const path = `unix://${address.path}`;
    return new SocketConnection(socket, { localAddress: `${path}#client-${++lastPeer}`, remoteAddress: path });
  },
};
