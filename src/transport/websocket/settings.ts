/** The options of a WebSocket, checked. */
import { badOption } from '../../core/options.js';
import { checkCompression } from '../session-options.js';
import type { WebSocketOptions } from '../types.js';

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Throws BAD_OPTION. */
export function checkWebSocketOptions(options: WebSocketOptions = {}): WebSocketOptions {
  if (typeof options !== 'object' || options === null) throw badOption('websocket', options, 'an object');
  const { protocols = [], compression = 'none', text = false, allowOrigin = [], headers = {} } = options;
  if (
    !Array.isArray(protocols) ||
    !protocols.every((name) => typeof name === 'string' && TOKEN.test(name)) ||
    new Set(protocols).size < protocols.length
  ) {
    throw badOption('websocket.protocols', protocols, 'different names without spaces');
  }
  checkCompression(compression);
  if (compression === 'snappy') throw badOption('websocket.compression', compression, "'none', 'deflate' or { deflate: level }");
  if (typeof text !== 'boolean') throw badOption('websocket.text', text, 'true or false');
  const origins = typeof allowOrigin === 'function' ? [] : allowOrigin;
  if (
    !Array.isArray(origins) ||
    !origins.every((origin) => typeof origin === 'string' && URL.canParse(origin) && new URL(origin).origin === origin)
  ) {
    throw badOption('websocket.allowOrigin', allowOrigin, 'origins such as https://example.org, or a function');
  }
  if (typeof headers !== 'object' || headers === null) throw badOption('websocket.headers', headers, 'an object');
  return options;
}
