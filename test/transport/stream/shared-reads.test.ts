import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, it } from 'vitest';
import { sharedReads } from '../../../src/transport/stream/shared-reads.js';
import { SocketConnection } from '../../../src/transport/stream/socket-connection.js';
import type { ConnectionEvents } from '../../../src/transport/types.js';
import { noLeaks } from '../../fixtures/leaks.js';

noLeaks();

const PEER = { localAddress: 'tcp://client', remoteAddress: 'tcp://server' };

it('keeps bytes that arrive before the connection has a session', async () => {
  const received: string[] = [];
  const server = createServer((accepted) => {
    accepted.on('error', () => {}).write('early ');
    accepted.once('data', () => accepted.end('late'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const socket: Socket = connect({ port, host: '127.0.0.1', onread: sharedReads(() => socket) });
  // Nobody reads: the bytes wait in the socket.
  await once(socket, 'readable');
  socket.write('go on');
  const connection = new SocketConnection(socket, PEER);
  await new Promise<void>((resolve) => {
    connection.attach({
      onData: (chunk: Uint8Array) => received.push(Buffer.from(chunk).toString()),
      onEnd: () => connection.end(),
      onClose: () => resolve(),
      onTaken() {},
    } as unknown as ConnectionEvents);
  });
  expect(received.join('')).toBe('early late');
  server.close();
  await once(server, 'close');
});
