/**
 * The opening handshake (RFC 6455, section 4) as functions of headers: what each side asks, checks
 * and answers.
 */
import { createHash, randomBytes } from 'node:crypto';
import { type IncomingHttpHeaders, STATUS_CODES } from 'node:http';
import { isIPv4 } from 'node:net';
import { gettyError } from '../../core/errors.js';
import { encodePath } from '../address.js';
import { RefusedError } from '../refused-error.js';
import type {
  RefusalReason,
  WebSocketHeaders,
  WebSocketOptions,
  WebSocketRequest,
} from '../types.js';
import { acceptAnswer, acceptOffer, DEFLATE_OFFER, type MessageDeflate } from './deflate.js';

const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const VERSION = '13';
/** Subprotocols of a request that are looked at. */
const MAX_PROTOCOLS = 64;
/** Characters of a name in DNS (RFC 1035, section 2.3.4), with room to spare. */
const MAX_HOST = 255;
/** Characters of an origin: scheme, host and port. */
const MAX_ORIGIN = 512;
const KEY = /^[+/0-9A-Za-z]{22}==$/;

/** What both sides agreed on. */
export interface Agreement {
  readonly protocol: string | undefined;
  readonly deflate: MessageDeflate | undefined;
}

/** The parts of a request that the handshake reads. */
export interface UpgradeRequest {
  readonly method?: string | undefined;
  /** The request target. */
  readonly url?: string | undefined;
  readonly httpVersion?: string | undefined;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they came. */
  readonly rawHeaders?: readonly string[] | undefined;
}

/** `response` is the whole header of the answer; of a refusal, its body too. */
export type Answer = Grant | Refusal;

export interface Grant {
  readonly response: string;
  readonly agreement: Agreement;
  readonly request: WebSocketRequest;
  /**
   * The function `allowOrigin` must return true for this origin before the answer is sent: see
   * isOriginAllowed().
   */
  readonly originToAsk: string | undefined;
  readonly refusal?: undefined;
}

export interface Refusal {
  readonly response: string;
  readonly refusal: RefusedError;
  readonly agreement?: undefined;
}

/** The target of a request: path and query, and the host that the peer asked for. */
interface Target {
  readonly url: string;
  readonly hostname: string;
  /** Undefined: the default port of the scheme. */
  readonly port: number | undefined;
}

/** A session keeps the headers of its request. */
const MAX_HEADERS = 100;

function acceptOf(key: string): string {
  return createHash('sha1')
    .update(key + MAGIC)
    .digest('base64');
}

/**
 * A server's answer. `path`: the only path that is served; empty: any. `listenHost`: the host of
 * the server's address; empty: all interfaces.
 */
export function answerUpgrade(
  request: UpgradeRequest,
  path: string,
  options: WebSocketOptions,
  listenHost = '',
): Answer {
  const { method, headers } = request;
  const key = headers['sec-websocket-key'] ?? '';
  const target = targetOf(request);
  if (method !== 'GET') return refuse(405, 'request', 'a WebSocket begins with GET');
  if (target === undefined)
    return refuse(
      400,
      'request',
      'the request target, its Host header or its HTTP version is wrong',
    );
  if ((request.rawHeaders?.length ?? 0) > 2 * MAX_HEADERS)
    return refuse(431, 'request', `the request has more than ${MAX_HEADERS} headers`);
  if (hasBody(headers)) return refuse(400, 'request', 'the request of a WebSocket has no body');
  if (headers.upgrade?.toLowerCase() !== 'websocket') return refuseRequest();
  if (headers['sec-websocket-version'] !== VERSION)
    return refuse(426, 'request', `the version must be ${VERSION}`, [
      'Upgrade: websocket',
      `Sec-WebSocket-Version: ${VERSION}`,
    ]);
  if (!KEY.test(key)) return refuse(400, 'request', 'Sec-WebSocket-Key is no key');
  if (path !== '' && encodePath(target.url.split('?', 1)[0] as string) !== path)
    return refuse(404, 'path', 'no server listens at this path');
  const origin = checkOrigin(headers.origin, target, listenHost, options);
  if (origin === 'bad host') return refuseHost(target.hostname);
  if (origin === 'bad origin') return refuseOrigin(headers.origin);
  const protocol = chooseProtocol(headers['sec-websocket-protocol'], options.protocols);
  const { compression = 'none' } = options;
  const accepted =
    compression === 'none'
      ? undefined
      : acceptOffer(headers['sec-websocket-extensions'], compression, options.maxCompressBytes);
  const lines = [
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${acceptOf(key)}`,
  ];
  if (protocol !== undefined) lines.push(`Sec-WebSocket-Protocol: ${protocol}`);
  if (accepted !== undefined) lines.push(`Sec-WebSocket-Extensions: ${accepted.answer}`);
  return {
    response: head(101, lines),
    request: { url: target.url, headers },
    agreement: { protocol, deflate: accepted?.deflate },
    originToAsk: origin === 'ask' ? headers.origin : undefined,
  };
}

/** An answer of an HTTP status, in plain text; the connection is closed after it. */
export function statusAnswer(
  status: number,
  text = STATUS_CODES[status] ?? 'refused',
  lines: readonly string[] = [],
): string {
  const body = `${text}\n`;
  const length = Buffer.byteLength(body);
  return (
    head(status, [
      ...lines,
      'Connection: close',
      'Content-Type: text/plain',
      `Content-Length: ${length}`,
    ]) + body
  );
}

function refuse(
  status: number,
  reason: RefusalReason,
  why: string,
  lines: readonly string[] = [],
): Refusal {
  return {
    response: statusAnswer(status, why, lines),
    refusal: new RefusedError(why, { status, reason }),
  };
}

/** Of a request that does not ask for a WebSocket. */
export function refuseRequest(): Refusal {
  return refuse(426, 'request', 'this is a WebSocket server', ['Upgrade: websocket']);
}

/** Of a request that asks for a tunnel. */
export function refuseTunnel(): Refusal {
  return refuse(405, 'request', 'a WebSocket begins with GET', ['Allow: GET']);
}

function refuseHost(hostname: string): Refusal {
  const why = `a page of ${JSON.stringify(hostname)} connects, and this host is not in websocket.allowHost`;
  return {
    response: statusAnswer(403, 'this host is not allowed'),
    refusal: new RefusedError(why, { reason: 'host' }),
  };
}

export function refuseOrigin(origin: string | undefined): Refusal {
  const why = `the origin ${JSON.stringify(origin)} is not allowed`;
  return {
    response: statusAnswer(403, 'this origin is not allowed'),
    refusal: new RefusedError(why, { reason: 'origin' }),
  };
}

function head(status: number, lines: readonly string[]): string {
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`, ...lines, '', ''].join('\r\n');
}

/**
 * An upgrade request has no body. Node.js takes the body's bytes for the first bytes of the new
 * protocol, which they are not.
 */
function hasBody(headers: IncomingHttpHeaders): boolean {
  const length = headers['content-length'];
  return (
    headers['transfer-encoding'] !== undefined || (length !== undefined && !/^0+$/.test(length))
  );
}

/** For the names and values of a request's headers. */
function isHostName(text: string, index: number): boolean {
  return index % 2 === 0 && text.length === 4 && text.toLowerCase() === 'host';
}

/**
 * The path with its query, and the host, of a request. Undefined: HTTP/1.0, a Host header that is
 * missing, doubled or malformed, or a target that is neither a path nor an absolute URL. The host
 * of an absolute URL replaces the Host header (RFC 9112, section 3.2.2).
 */
function targetOf({
  url = '',
  httpVersion = '1.1',
  headers,
  rawHeaders = [],
}: UpgradeRequest): Target | undefined {
  if (
    httpVersion !== '1.1' ||
    headers.host === undefined ||
    rawHeaders.filter(isHostName).length > 1
  )
    return undefined;
  const [, authority, rest = ''] = /^(?:https?|wss?):\/\/([^/?#]+)([^#]*)$/i.exec(url) ?? [];
  if (authority === undefined && !url.startsWith('/')) return undefined;
  const host = hostOf(headers.host);
  const asked = authority === undefined ? host : hostOf(authority);
  if (host === undefined || asked === undefined) return undefined;
  return {
    url: authority === undefined ? url : rest.startsWith('/') ? rest : `/${rest}`,
    ...asked,
  };
}

/** The parts of `host` or `host:port`, the name in its canonical form; undefined: malformed. */
function hostOf(text: string): Pick<Target, 'hostname' | 'port'> | undefined {
  const [, name = '', port] = /^([^\s/?#@\\]+?)(?::(\d*))?$/.exec(text) ?? [];
  const hostname =
    name === '' || name.length > MAX_HOST ? undefined : parseUrl(`http://${name}`)?.hostname;
  if (hostname === undefined || Number(port) > 65_535) return undefined;
  return { hostname, port: port === undefined || port === '' ? undefined : Number(port) };
}

/**
 * A URL, parsed once: URL.canParse() and new URL() do not agree on every text in every version of
 * Node.js.
 */
function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

/**
 * Browsers let any page connect to any server, with the cookies that they have for it, and name the
 * page's origin. A request without an origin does not come from a page. A page of the server's own
 * host is allowed if that host is known to be the server's: by DNS rebinding a page of any name can
 * reach any address, and then its origin and the Host header are equal.
 */
function checkOrigin(
  origin: string | undefined,
  target: Target,
  listenHost: string,
  { allowOrigin = [], allowHost = [] }: WebSocketOptions,
): 'good' | 'ask' | 'bad origin' | 'bad host' {
  if (origin === undefined) return 'good';
  const isSameHost = isOriginOf(target, origin);
  if (isSameHost && isOwnHost(target.hostname, listenHost, allowHost)) return 'good';
  if (typeof allowOrigin === 'function') return 'ask';
  if (allowOrigin.includes(origin)) return 'good';
  return isSameHost ? 'bad host' : 'bad origin';
}

/**
 * The scheme of the origin tells the default port of both: a proxy may end TLS before this server.
 */
function isOriginOf({ hostname, port }: Target, origin: string): boolean {
  const page = origin.length > MAX_ORIGIN ? undefined : parseUrl(origin);
  if (page === undefined || page.hostname !== hostname || page.origin !== origin.toLowerCase())
    return false;
  const defaultPort = page.protocol === 'https:' ? 443 : 80;
  return (page.port === '' ? defaultPort : Number(page.port)) === (port ?? defaultPort);
}

function isOwnHost(
  hostname: string,
  listenHost: string,
  allowHost: NonNullable<WebSocketOptions['allowHost']>,
): boolean {
  if (allowHost === 'any' || allowHost.includes(hostname) || hostname === listenHost.toLowerCase())
    return true;
  if (hostname === 'localhost' || hostname.endsWith('.localhost')) return true;
  // No name, no DNS rebinding.
  return hostname.startsWith('[') || isIPv4(hostname);
}

/**
 * Asks the function `allowOrigin`. `failed` is called with what it throws, or rejects with; the
 * origin is not allowed then.
 */
export async function isOriginAllowed(
  allowOrigin: WebSocketOptions['allowOrigin'],
  origin: string,
  failed: (error: unknown) => void,
): Promise<boolean> {
  try {
    return typeof allowOrigin === 'function' && (await allowOrigin(origin)) === true;
  } catch (error) {
    failed(error);
    return false;
  }
}

function chooseProtocol(
  offered: string | undefined,
  ours: readonly string[] = [],
): string | undefined {
  if (ours.length === 0) return undefined;
  return offered
    ?.split(',', MAX_PROTOCOLS)
    .map((name) => name.trim())
    .find((name) => ours.includes(name));
}

/** What a client sends, and how it judges the answer. */
export class Offer {
  readonly headers: Readonly<Record<string, string>>;
  readonly #key = randomBytes(16).toString('base64');
  readonly #options: WebSocketOptions;

  /** `headers`: more headers of the request, checked. */
  constructor(options: WebSocketOptions, headers: WebSocketHeaders = {}) {
    const { protocols = [], compression = 'none' } = options;
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
    if (headers.upgrade?.toLowerCase() !== 'websocket')
      throw gettyError('CONNECT_FAILED', 'the server changed to another protocol');
    if (headers['sec-websocket-accept'] !== acceptOf(this.#key))
      throw gettyError(
        'CONNECT_FAILED',
        'the server answered another handshake: Sec-WebSocket-Accept is wrong',
      );
    if (protocol === undefined ? protocols.length > 0 : !protocols.includes(protocol)) {
      throw gettyError(
        'CONNECT_FAILED',
        `the server chose ${protocol === undefined ? 'none' : JSON.stringify(protocol)} of the protocols ${protocols.join(', ') || '(none was offered)'}`,
      );
    }
    if (extensions === undefined) return { protocol, deflate: undefined };
    if (compression === 'none')
      throw gettyError(
        'CONNECT_FAILED',
        `the server agreed to what was not offered: ${JSON.stringify(extensions)}`,
      );
    return {
      protocol,
      deflate: acceptAnswer(extensions, compression, this.#options.maxCompressBytes),
    };
  }
}
