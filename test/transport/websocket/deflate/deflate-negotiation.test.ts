/** The negotiation of permessage-deflate (RFC 7692, section 7.1). */
import { expect, test } from 'vitest';
import { ClientHandshake } from '../../../../src/transport/websocket/handshake/client-handshake.js';
import { acceptKeyOf } from '../../../../src/transport/websocket/handshake/handshake.js';
import { answerUpgrade } from '../../../../src/transport/websocket/handshake/server-handshake.js';
import { withHeaders } from '../handshake/upgrade-request.js';

const DEFLATE = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

/** The extension that a server answers to an offer. */
function answerTo(offer: string | undefined): string | undefined {
  const request = withHeaders({ 'sec-websocket-extensions': offer });
  const { response, result } = answerUpgrade(request, '', { compression: 'deflate' });
  const answer = /Sec-WebSocket-Extensions: (.*)\r\n/.exec(response)?.[1];
  expect(result?.deflate !== undefined).toBe(answer !== undefined);
  expect(answerUpgrade(request, '', {}).result?.deflate).toBeUndefined();
  return answer;
}

test.each<[offer: string, answer: string]>([
  ['permessage-deflate', DEFLATE],
  ['permessage-deflate; client_max_window_bits', DEFLATE],
  ['permessage-deflate; client_max_window_bits=10; server_no_context_takeover', DEFLATE],
  ['permessage-deflate; server_max_window_bits=12', `${DEFLATE}; server_max_window_bits=11`],
  ['permessage-deflate; server_max_window_bits="9"', `${DEFLATE}; server_max_window_bits=8`],
  ['x-webkit-deflate-frame, permessage-deflate', DEFLATE],
  ['permessage-deflate; server_max_window_bits=8', `${DEFLATE}; server_max_window_bits=8`],
  [
    'permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=15',
    `${DEFLATE}; server_max_window_bits=15`,
  ],
  ['permessage-deflate; client_max_window_bits=8; client_no_context_takeover', DEFLATE],
  [`${'a,'.repeat(15)}permessage-deflate`, DEFLATE],
])('a server accepts the offer %s', (offer, answer) => {
  expect(answerTo(offer)).toBe(answer);
});

test.each<[offer: string | undefined]>([
  [undefined],
  [''],
  ['permessage-deflate; server_max_window_bits'],
  ['permessage-deflate; server_max_window_bits=16'],
  ['permessage-deflate; server_max_window_bits=010'],
  ['permessage-deflate; server_no_context_takeover=1'],
  ['permessage-deflate; server_no_context_takeover; server_no_context_takeover'],
  ['permessage-deflate; constructor'],
  ['permessage-deflate; __proto__=8'],
  ['permessage-deflate;'],
  ['deflate'],
  [`${'a,'.repeat(16)}permessage-deflate`],
])('a server declines the offer %s', (offer) => {
  expect(answerTo(offer)).toBeUndefined();
});

/** A client's result of a response with these extensions. */
function resultOf(extensions: string) {
  const handshake = new ClientHandshake({ compression: 'deflate' });
  return handshake.validateResponse({
    upgrade: 'websocket',
    'sec-websocket-accept': acceptKeyOf(handshake.headers['Sec-WebSocket-Key'] as string),
    'sec-websocket-extensions': extensions,
  });
}

test.each([
  DEFLATE,
  'permessage-deflate; server_no_context_takeover',
  'permessage-deflate; server_no_context_takeover; server_max_window_bits=10',
  'permessage-deflate',
  'permessage-deflate; server_max_window_bits=8',
  `${DEFLATE}; client_max_window_bits=9`,
  `${DEFLATE}; client_max_window_bits=8`,
])('a client accepts the answer %s', (answer) => {
  expect(resultOf(answer).deflate).toBeDefined();
});

test.each([
  `${DEFLATE}; client_max_window_bits`,
  `${DEFLATE}; client_max_window_bits=16`,
  'permessage-deflate; server_max_window_bits',
  'permessage-deflate; server_no_context_takeover, permessage-deflate; server_no_context_takeover',
  'x-other',
])('a client rejects the answer %s', (answer) => {
  expect(() => resultOf(answer)).toThrow(expect.objectContaining({ code: 'CONNECT_FAILED' }));
});
