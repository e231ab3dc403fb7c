import type { UpgradeRequest } from '../../../../src/transport/websocket/handshake/upgrade-request.js';

/** A valid request. */
export const VALID_REQUEST: UpgradeRequest = {
  method: 'GET',
  url: '/',
  headers: {
    host: 'here',
    upgrade: 'WebSocket',
    connection: 'keep-alive, Upgrade',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  },
};

/** A valid request with further or other headers. */
export const withHeaders = (headers: Record<string, string | undefined>): UpgradeRequest => ({
  ...VALID_REQUEST,
  headers: { ...VALID_REQUEST.headers, ...headers },
});
