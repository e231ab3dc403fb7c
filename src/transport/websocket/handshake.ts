/** The opening handshake (RFC 6455, section 4) as functions of headers: what each side asks, checks and answers. */
import { createHash, randomBytes } from 'node:crypto';
import { type IncomingHttpHeaders, STATUS_CODES } from 'node:http';
import { gettyError } from '../../core/errors.js';
import { encodePath } from '../address.js';
import type { WebSocketOptions } from '../types.js';
import { acceptAnswer, acceptOffer, DEFLATE_OFFER, type MessageDeflate } from './deflate.js';

const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const VERSION = '13';
const KEY = /^[+/0-9A-Za-z]{22}==$/;

/** What both sides agreed on. */
export interface Agreement {
  readonly protocol: string | undefined;
  readonly deflate: MessageDeflate | undefined;
}

/** As much of a request as the handshake looks at. */
export interface UpgradeRequest {
  readonly method?: string;
  readonly url?: string;
  readonly headers: IncomingHttpHeaders;
}

/** `response` is the whole head of the answer. Without an agreement it is a refusal. */
export interface Answer {
  readonly response: string;
  readonly agreement?: Agreement;
}

function acceptOf(key: string): string {
  return createHash('sha1')
    .update(key + MAGIC)
    .digest('base64');
}

/** A server's answer. `path`: the only one to listen at, or empty for any. */
export function answerUpgrade({ method, url = '', headers }: UpgradeRequest, path: string, options: WebSocketOptions): Answer {
  const key = headers['sec-websocket-key'] ?? '';
  if (method !== 'GET') return refuse(405, 'a WebSocket begins with GET');
  if (headers.upgrade?.toLowerCase() !== 'websocket') return refuse(426, 'this is a WebSocket server', ['Upgrade: websocket']);
  if (headers['sec-websocket-version'] !== VERSION)
    return refuse(426, `only version ${VERSION} is spoken here`, ['Upgrade: websocket', `Sec-WebSocket-Version: ${VERSION}`]);
  if (!KEY.test(key)) return refuse(400, 'Sec-WebSocket-Key is no key');
  if (path !== '' && encodePath(url.split('?', 1)[0] as string) !== path) return refuse(404, 'nothing listens at this path');
  if (!isWelcome(headers.origin, headers.host, options.allowOrigin)) return refuse(403, 'this origin is not allowed');
  const protocol = chooseProtocol(headers['sec-websocket-protocol'], options.protocols);
  const { compression = 'none' } = options;
  const accepted = compression === 'none' ? undefined : acceptOffer(headers['sec-websocket-extensions'], compression);
  const lines = ['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${acceptOf(key)}`];
  if (protocol !== undefined) lines.push(`Sec-WebSocket-Protocol: ${protocol}`);
  if (accepted !== undefined) lines.push(`Sec-WebSocket-Extensions: ${accepted.answer}`);
  return { response: head(101, lines), agreement: { protocol, deflate: accepted?.deflate } };
}

function refuse(status: number, why: string, lines: readonly string[] = []): Answer {
  const body = `${why}\n`;
  return { response: head(status, [...lines, 'Connection: close', 'Content-Type: text/plain', `Content-Length: ${body.length}`]) + body };
}

function head(status: number, lines: readonly string[]): string {
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, '', ''].join('\r\n');
}

/**
 * Browsers let any page connect to any server, with the cookies that they have for it, and say where the page is from. Who
 * says nothing is no browser.
 */
function isWelcome(origin: string | undefined, host: string | undefined, allowed: WebSocketOptions['allowOrigin'] = []): boolean {
  if (origin === undefined) return true;
  if (host !== undefined && URL.canParse(origin) && new URL(origin).host === host.toLowerCase()) return true;
  if (typeof allowed !== 'function') return allowed.includes(origin);
  try {
    return allowed(origin) === true;
  } catch (error) {
    process.emitWarning(gettyError('HANDLER_FAILED', 'allowOrigin failed, so the origin was refused', error));
    return false;
  }
}

function chooseProtocol(offered: string | undefined, ours: readonly string[] = []): string | undefined {
  return offered
    ?.split(',')
    .map((name) => name.trim())
    .find((name) => ours.includes(name));
}

/** What a client sends, and how it judges the answer. */
export class Offer {
  readonly headers: Readonly<Record<string, string>>;
  readonly #key = randomBytes(16).toString('base64');
  readonly #options: WebSocketOptions;

  constructor(options: WebSocketOptions) {
    const { protocols = [], compression = 'none', headers } = options;
    this.#options = options;
    this.headers = {
      ...headers,
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': VERSION,
      'Sec-WebSocket-Key': this.#key,
      ...(protocols.length > 0 && { 'Sec-WebSocket-Protocol': protocols.join(', ') }),
      ...(compression !== 'none' && { 'Sec-WebSocket-Extensions': DEFLATE_OFFER }),
    };
  }

  /** For an answer of status 101. Throws CONNECT_FAILED. */
  judge(headers: IncomingHttpHeaders): Agreement {
    const { protocols = [], compression = 'none' } = this.#options;
    const protocol = headers['sec-websocket-protocol'];
    const extensions = headers['sec-websocket-extensions'];
    if (headers.upgrade?.toLowerCase() !== 'websocket') throw gettyError('CONNECT_FAILED', 'the server changed to another protocol');
    if (headers['sec-websocket-accept'] !== acceptOf(this.#key))
      throw gettyError('CONNECT_FAILED', 'the server answered another handshake: Sec-WebSocket-Accept is wrong');
    if (protocol === undefined ? protocols.length > 0 : !protocols.includes(protocol)) {
      throw gettyError(
        'CONNECT_FAILED',
        `the server chose ${protocol === undefined ? 'none' : JSON.stringify(protocol)} of the protocols ${protocols.join(', ') || '(none was offered)'}`,
      );
    }
    if (extensions === undefined) return { protocol, deflate: undefined };
    if (compression === 'none') throw gettyError('CONNECT_FAILED', `the server agreed to what was not offered: ${JSON.stringify(extensions)}`);
    return { protocol, deflate: acceptAnswer(extensions, compression) };
  }
}
