import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { gettyError } from '../../../core/errors.js';
import { show } from '../../../core/options.js';
import type { WebSocketHeaders, WebSocketOptions } from '../../types.js';
import { acceptAnswer, DEFLATE_OFFER, unofferedExtension } from '../deflate/deflate-negotiation.js';
import { acceptKeyOf, type HandshakeResult, WEBSOCKET_VERSION } from './handshake.js';

/** The client's end of the opening handshake (RFC 6455, section 4.1). */
export class ClientHandshake {
  /** The headers of the request. */
  readonly headers: Readonly<Record<string, string>>;
  readonly #key = randomBytes(16).toString('base64');
  readonly #options: WebSocketOptions;

  /** `headers`: further headers of the request, which have been validated. */
  constructor(options: WebSocketOptions, headers: WebSocketHeaders = {}) {
    const { protocols = [], compression = 'none' } = options;
    this.#options = options;
    this.headers = {
      ...headers,
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': WEBSOCKET_VERSION,
      'Sec-WebSocket-Key': this.#key,
      ...(protocols.length > 0 && { 'Sec-WebSocket-Protocol': protocols.join(', ') }),
      ...(compression !== 'none' && { 'Sec-WebSocket-Extensions': DEFLATE_OFFER }),
    };
  }

  /** Validates the headers of a response with status 101. Throws CONNECT_FAILED. */
  validateResponse(headers: IncomingHttpHeaders): HandshakeResult {
    const { protocols = [], compression = 'none', maxCompressBytes } = this.#options;
    const protocol = headers['sec-websocket-protocol'];
    const extensions = headers['sec-websocket-extensions'];
    if (headers.upgrade?.toLowerCase() !== 'websocket')
      throw gettyError('CONNECT_FAILED', 'the server changed to another protocol');
    if (headers['sec-websocket-accept'] !== acceptKeyOf(this.#key))
      throw gettyError(
        'CONNECT_FAILED',
        'the server answered another handshake: Sec-WebSocket-Accept is wrong',
      );
    if (protocol === undefined ? protocols.length > 0 : !protocols.includes(protocol)) {
      throw gettyError(
        'CONNECT_FAILED',
        `the server chose ${protocol === undefined ? 'none' : show(protocol)} of the protocols ${protocols.join(', ') || '(none was offered)'}`,
      );
    }
    if (extensions === undefined) return { protocol, deflate: undefined };
    if (compression === 'none') throw unofferedExtension(extensions);
    return { protocol, deflate: acceptAnswer(extensions, compression, maxCompressBytes) };
  }
}
