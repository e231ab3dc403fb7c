/** What both ends of the opening handshake share (RFC 6455, section 4). */
import { createHash } from 'node:crypto';
import type { NegotiatedDeflate } from '../deflate/deflate-negotiation.js';

export const WEBSOCKET_VERSION = '13';
const KEY_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** What both sides agreed on. */
export interface HandshakeResult {
  /** The subprotocol. */
  readonly protocol: string | undefined;
  readonly deflate: NegotiatedDeflate | undefined;
}

/** The header Sec-WebSocket-Accept for the header Sec-WebSocket-Key. */
export function acceptKeyOf(key: string): string {
  return createHash('sha1')
    .update(key + KEY_SUFFIX)
    .digest('base64');
}
