import { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { parseAddress } from '../../../src/transport/address.js';
import { dialled, SocketConnection } from '../../../src/transport/stream/socket.js';
import { noLeaks } from '../../fixtures/leaks.js';

noLeaks();

it('a socket that breaks after it is connected and before anybody listens: the reason is kept, and the process lives', async () => {
  const socket = new Socket();
  const dialling = dialled(
    socket,
    'connect',
    parseAddress('tcp://127.0.0.1:1', ['tcp']),
    new AbortController().signal,
  );
  socket.emit('connect');
  // Its 'error' comes on the next tick, which is before the promise is told.
  socket.destroy(new Error('gone again'));
  await dialling;
  const connection = new SocketConnection(socket, {
    localAddress: 'tcp://near:1',
    remoteAddress: 'tcp://far:2',
  });
  const closed = new Promise<Error | undefined>((onClose) => {
    connection.attach({
      onData() {},
      onMessage() {},
      onAlive() {},
      onTaken() {},
      onEnd() {},
      onClose,
    });
  });
  expect(await closed).toMatchObject({
    code: 'CONNECTION_LOST',
    message: 'the connection with tcp://far:2 broke: gone again',
  });
});
