import { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { parseAddress } from '../../../src/transport/address.js';
import { SocketConnection } from '../../../src/transport/stream/socket-connection.js';
import { untilConnected } from '../../../src/transport/stream/socket-dial.js';
import { noLeaks } from '../../fixtures/leaks.js';

noLeaks();

it('a socket that fails between its connection and attach() closes with its error, and the process continues', async () => {
  const socket = new Socket();
  const connecting = untilConnected(
    socket,
    'connect',
    parseAddress('tcp://127.0.0.1:1', ['tcp']),
    new AbortController().signal,
  );
  socket.emit('connect');
  // The 'error' event is emitted on the next tick, before the await below returns.
  socket.destroy(new Error('reset'));
  await connecting;
  const connection = new SocketConnection(socket, {
    localAddress: 'tcp://client:1',
    remoteAddress: 'tcp://server:2',
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
    message: 'the connection to tcp://server:2 was lost: reset',
  });
});
