/** A connection that ends before its request is complete leaves no reader in memory. */
import { EventEmitter } from 'node:events';
import { Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, TLSSocket } from 'node:tls';
import { afterEach, describe, test, vi } from 'vitest';
import { raw, serve } from '../../../../src/transport/index.js';
import { RequestReader } from '../../../../src/transport/websocket/handshake/request-reader.js';
import { CLIENT_TLS, SERVER_TLS } from '../../../fixtures/certificates.js';
import { noLeaks } from '../../../fixtures/leaks.js';
import { until } from '../../../fixtures/waiting.js';

noLeaks();
afterEach(() => void vi.restoreAllMocks());

/** A TLS socket cannot be reset in Node.js, so it is destroyed. */
const reset = (peer: Socket): void =>
  void (peer instanceof TLSSocket ? peer.destroy() : peer.resetAndDestroy());

const ENDS: readonly [string, (peer: Socket) => void, 'late'?][] = [
  ['ends without a byte', (peer) => peer.end()],
  ['ends after empty lines', (peer) => peer.end('\r\n\r\n')],
  ['ends inside its request', (peer) => peer.end('GET /live HT')],
  ['is reset without a byte', reset],
  ['is reset inside its request', (peer) => void peer.write('GET /live HT', () => reset(peer))],
  ['sends nothing until handshakeTimeout', () => {}, 'late'],
  [
    'does not complete its request until handshakeTimeout',
    (peer) => void peer.write('GET /live HT'),
    'late',
  ],
];

describe.each(['ws', 'wss'])('%s', (scheme) => {
  test.each(ENDS)('closes the reader of a connection that %s', async (_name, end, isLate) => {
    const readers: RequestReader[] = [];
    const emit = vi.spyOn(Server.prototype, 'emit');
    emit.mockImplementation(function (this: Server, event: string | symbol, ...given: unknown[]) {
      if (given[0] instanceof RequestReader && event === 'connection') readers.push(given[0]);
      return EventEmitter.prototype.emit.call(this, event, ...given);
    });
    const isSecure = scheme === 'wss';
    // On a slow machine the time passes during the TLS handshake, before there is a reader.
    for (let handshakeTimeout = 50; readers.length === 0; handshakeTimeout *= 2) {
      await using server = await serve(
        `${scheme}://127.0.0.1:0`,
        { codec: raw(), listener: { onMessage() {} } },
        { ...(isLate && { handshakeTimeout }), ...(isSecure && { tls: SERVER_TLS }) },
      );
      const port = Number(new URL(server.address).port);
      const peer = connect(port, '127.0.0.1').on('error', () => {});
      const stream = isSecure
        ? connectTls({ socket: peer, ...CLIENT_TLS, servername: 'localhost' }).on('error', () => {})
        : peer;
      stream.resume();
      await until(() => readers.length === 1 || peer.closed, 'the reader of the connection');
      end(stream);
      await until(() => readers.every((reader) => reader.closed), 'the reader to be closed');
      peer.destroy();
    }
  });
});
