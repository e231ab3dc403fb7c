/** The server's end of the opening handshake (RFC 6455, section 4.2), as functions of headers. */
import { STATUS_CODES } from 'node:http';
import { encodePath } from '../../address.js';
import { RefusedError } from '../../refused-error.js';
import type { RefusalReason, WebSocketOptions, WebSocketRequest } from '../../types.js';
import { acceptOffer } from '../deflate/deflate-negotiation.js';
import { acceptKeyOf, type HandshakeResult, WEBSOCKET_VERSION } from './handshake.js';
import { checkOrigin } from './origin-policy.js';
import { hasBody, type RequestTarget, targetOf, type UpgradeRequest } from './upgrade-request.js';

/** Subprotocols of a request that are read. */
const MAX_PROTOCOLS = 64;
/** A session keeps the headers of its request, so their number is limited. */
const MAX_HEADERS = 100;
const KEY = /^[+/0-9A-Za-z]{22}==$/;

export interface AcceptedUpgrade {
  /** The header of the response. */
  readonly response: string;
  readonly result: HandshakeResult;
  readonly request: WebSocketRequest;
  /** Before the response, isOriginAllowed() must resolve with true for this origin. */
  readonly originToAsk: string | undefined;
  readonly refusal?: undefined;
}

export interface RefusedUpgrade {
  /** The header and the body of the response. */
  readonly response: string;
  readonly refusal: RefusedError;
  readonly result?: undefined;
}

/**
 * Validates an upgrade request and makes the response. `path`: the path of the server; empty for
 * any. `listenHost`: the host of the server's address; empty for all interfaces.
 */
export function answerUpgrade(
  request: UpgradeRequest,
  path: string,
  options: WebSocketOptions,
  listenHost = '',
): AcceptedUpgrade | RefusedUpgrade {
  const { method, headers } = request;
  const key = headers['sec-websocket-key'] ?? '';
  const target = targetOf(request);
  if (method !== 'GET') return refuse(405, 'request', 'the method of a WebSocket request is GET');
  if (target === undefined)
    return refuse(
      400,
      'request',
      'the request target, the Host header or the HTTP version is invalid',
    );
  if ((request.rawHeaders?.length ?? 0) > 2 * MAX_HEADERS)
    return refuse(431, 'request', `the request has more than ${MAX_HEADERS} headers`);
  if (hasBody(headers)) return refuse(400, 'request', 'a WebSocket request has no body');
  if (headers.upgrade?.toLowerCase() !== 'websocket') return refuseOtherRequest();
  if (headers['sec-websocket-version'] !== WEBSOCKET_VERSION)
    return refuse(426, 'request', `the version must be ${WEBSOCKET_VERSION}`, [
      'Upgrade: websocket',
      `Sec-WebSocket-Version: ${WEBSOCKET_VERSION}`,
    ]);
  if (!KEY.test(key)) return refuse(400, 'request', 'Sec-WebSocket-Key is invalid');
  if (path !== '' && encodePath(target.url.split('?', 1)[0] as string) !== path)
    return refuse(404, 'path', 'no server listens at this path');
  const decision = checkOrigin(headers.origin, target, listenHost, options);
  if (decision === 'host refused') return refuseHost(target.hostname);
  if (decision === 'origin refused') return refuseOrigin(headers.origin, target);
  const protocol = chooseProtocol(headers['sec-websocket-protocol'], options.protocols);
  const { compression = 'none' } = options;
  const accepted =
    compression === 'none'
      ? undefined
      : acceptOffer(headers['sec-websocket-extensions'], compression, options.maxCompressBytes);
  const lines = [
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${acceptKeyOf(key)}`,
  ];
  if (protocol !== undefined) lines.push(`Sec-WebSocket-Protocol: ${protocol}`);
  if (accepted !== undefined) lines.push(`Sec-WebSocket-Extensions: ${accepted.answer}`);
  return {
    response: responseHeader(101, lines),
    request: { url: target.url, headers },
    result: { protocol, deflate: accepted?.deflate },
    originToAsk: decision === 'ask' ? headers.origin : undefined,
  };
}

/** A response in plain text, after which the connection is closed. */
export function statusResponse(
  status: number,
  text = STATUS_CODES[status] ?? 'refused',
  lines: readonly string[] = [],
): string {
  const body = `${text}\n`;
  const header = responseHeader(status, [
    ...lines,
    'Connection: close',
    'Content-Type: text/plain',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]);
  return header + body;
}

function refuse(
  status: number,
  reason: RefusalReason,
  message: string,
  lines: readonly string[] = [],
): RefusedUpgrade {
  return {
    response: statusResponse(status, message, lines),
    refusal: new RefusedError(message, { status, reason }),
  };
}

/** Refuses a request that does not ask for a WebSocket. */
export function refuseOtherRequest(): RefusedUpgrade {
  return refuse(426, 'request', 'this is a WebSocket server', ['Upgrade: websocket']);
}

/** Refuses a request with the method CONNECT. */
export function refuseTunnel(): RefusedUpgrade {
  return refuse(405, 'request', 'the method of a WebSocket request is GET', ['Allow: GET']);
}

function refuseHost(hostname: string): RefusedUpgrade {
  const message = `a page of ${JSON.stringify(hostname)} connects, and this host is not in websocket.allowHost`;
  return {
    response: statusResponse(403, 'this host is not allowed'),
    refusal: new RefusedError(message, { reason: 'host' }),
  };
}

/** `target`: of the request. Undefined: the function `allowOrigin` has refused the origin. */
export function refuseOrigin(origin: string | undefined, target?: RequestTarget): RefusedUpgrade {
  const refused = `the origin ${JSON.stringify(origin)} is not allowed`;
  const message =
    target === undefined
      ? `${refused} by the function websocket.allowOrigin`
      : `${refused}: the request is for the host ${JSON.stringify(hostAndPort(target))}, and websocket.allowOrigin does not have the origin`;
  return {
    response: statusResponse(403, 'this origin is not allowed'),
    refusal: new RefusedError(message, { reason: 'origin' }),
  };
}

function hostAndPort({ hostname, port }: RequestTarget): string {
  return port === undefined ? hostname : `${hostname}:${port}`;
}

function responseHeader(status: number, lines: readonly string[]): string {
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`, ...lines, '', ''].join('\r\n');
}

/** The first offered subprotocol that the server supports. */
function chooseProtocol(
  offered: string | undefined,
  supported: readonly string[] = [],
): string | undefined {
  if (supported.length === 0) return undefined;
  return offered
    ?.split(',', MAX_PROTOCOLS)
    .map((name) => name.trim())
    .find((name) => supported.includes(name));
}
