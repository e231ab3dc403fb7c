/** The handshake of a WebSocket connection that `getty proxy` decodes. */
import { expect, test } from 'vitest';
import { WebSocketDecoder } from '../../../src/cli/proxy/websocket-decoder.js';

const REQUEST = Buffer.from('GET /rpc HTTP/1.1\r\nHost: h\r\n\r\n');

test.each([
  ['HTTP/1.1 404 Not Found\r\n\r\n', { kind: 'handshake', text: '404 Not Found' }],
  ['no HTTP\r\n\r\n', { kind: 'undecoded', text: expect.stringContaining('begins no WebSocket') }],
])('what the client sends after %j is not reported as frames', (response, record) => {
  const records: object[] = [];
  const decoder = new WebSocketDecoder(
    (direction, describe) => records.push({ direction, ...describe() }),
    () => {},
  );
  decoder.onBytes('toServer', REQUEST);
  decoder.onBytes('toClient', Buffer.from(response));
  decoder.onBytes('toServer', REQUEST);
  expect(records).toEqual([
    { direction: 'toServer', kind: 'handshake', text: 'GET /rpc' },
    { direction: 'toClient', ...record },
  ]);
});
