// @ts-check
/** A loop over the sessions of the ws package, without compression, as its documentation shows. */
import { WebSocket, WebSocketServer } from 'ws';
import { message } from './room.mjs';

/** @returns {Promise<string>} */
export function serve() {
  return new Promise((resolve) => {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 }, () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      resolve(`ws://127.0.0.1:${port}`);
    });
    server.on('connection', (socket) =>
      socket.on('message', (/** @type {Buffer} */ [count = 0]) => {
        for (let i = 0; i < count; i++)
          for (const client of server.clients)
            if (client.readyState === WebSocket.OPEN) client.send(message);
      }),
    );
  });
}
