// @ts-check
/** An echo of the ws package, without compression. */
import { WebSocket, WebSocketServer } from 'ws';
import { frame } from './echo.mjs';

/** @returns {Promise<string>} */
export function serve() {
  return new Promise((resolve) => {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 }, () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      resolve(`ws://127.0.0.1:${port}`);
    });
    server.on('connection', (socket) => socket.on('message', (message) => socket.send(message)));
  });
}

/** @type {import('./echo.mjs').EchoPeer['open']} */
export async function open(address, size, onMessages) {
  const socket = new WebSocket(address, { perMessageDeflate: false });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const message = frame(size);
  socket.on('message', () => onMessages(1));
  return {
    send(count) {
      for (let i = 0; i < count; i++) socket.send(message);
    },
  };
}
