// @ts-check
/** An echo of datagrams, written by hand on node:dgram. */
import { createSocket } from 'node:dgram';
import { frame, parse } from './echo.mjs';

/** @returns {Promise<string>} */
export function serve() {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.on('message', (message, { port, address }) => socket.send(message, port, address));
    socket.bind(0, '127.0.0.1', () => resolve(`udp://127.0.0.1:${socket.address().port}`));
  });
}

/** @type {import('./echo.mjs').EchoPeer['open']} */
export async function open(address, size, onMessages) {
  const { host, port } = parse(address);
  const socket = createSocket('udp4');
  await new Promise((resolve) => socket.connect(port, host, () => resolve(undefined)));
  const message = frame(size);
  socket.on('message', () => onMessages(1));
  return {
    send(count) {
      for (let i = 0; i < count; i++) socket.send(message);
    },
  };
}
