/** A program at the address of a provider that does not speak its protocol. */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

/** Milliseconds. */
const PERIOD = 20;
const MOST_BYTES = 200;

const garbage = (): Buffer => randomBytes(1 + Math.floor(Math.random() * MOST_BYTES));

/** `certificates`: the folder of the certificate for `tls:`. */
export async function startImpostor(
  address: string,
  certificates: string,
  answers: 'garbage' | 'nothing',
): Promise<AsyncDisposable> {
  const { protocol, hostname, port, pathname } = new URL(address);
  if (protocol === 'udp:') return startDatagramImpostor(hostname, Number(port), answers);
  const sockets = new Set<Socket>();
  const accept = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => {}).resume();
    const timer = setInterval(() => answers === 'garbage' && socket.write(garbage()), PERIOD);
    socket.on('close', () => {
      clearInterval(timer);
      sockets.delete(socket);
    });
  };
  const server: Server =
    protocol === 'tls:'
      ? createTlsServer(
          {
            cert: readFileSync(`${certificates}/cert.pem`),
            key: readFileSync(`${certificates}/key.pem`),
          },
          accept,
        ).on('tlsClientError', () => {})
      : createServer(accept);
  if (protocol === 'unix:') {
    await rm(pathname, { force: true });
    server.listen(pathname);
  } else server.listen(Number(port), hostname);
  await once(server, 'listening');
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(server.close(), 'close');
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function startDatagramImpostor(
  host: string,
  port: number,
  answers: 'garbage' | 'nothing',
): Promise<AsyncDisposable> {
  const socket = createSocket('udp4');
  socket.on('message', (_, from) => {
    if (answers === 'garbage') socket.send(garbage(), from.port, from.address, () => {});
  });
  socket.bind(port, host);
  await once(socket, 'listening');
  return {
    async [Symbol.asyncDispose]() {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    },
  };
}
