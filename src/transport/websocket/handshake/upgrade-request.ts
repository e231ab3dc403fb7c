import type { IncomingHttpHeaders } from 'node:http';
import { parseUrl } from '../url.js';

/** Characters of a name in DNS (RFC 1035, section 2.3.4), rounded up. */
const MAX_HOST_CHARACTERS = 255;
/** Groups: the authority of an absolute URL, and its path and query. */
const ABSOLUTE = /^(?:https?|wss?):\/\/([^/?#]+)([^#]*)$/i;

/** The parts of an HTTP request that the handshake reads. */
export interface UpgradeRequest {
  readonly method?: string | undefined;
  /** The request target. */
  readonly url?: string | undefined;
  readonly httpVersion?: string | undefined;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn. */
  readonly rawHeaders?: readonly string[] | undefined;
}

/** What the peer requests. */
export interface RequestTarget {
  /** Path and query. */
  readonly url: string;
  readonly hostname: string;
  /** Undefined: the default port of the scheme. */
  readonly port: number | undefined;
}

/**
 * The target of a request. The host of an absolute URL replaces the Host header (RFC 9112, section
 * 3.2.2). Returns undefined for HTTP/1.0, and for a Host header that is missing, repeated or
 * malformed. Returns undefined too for a target that is neither a path nor an absolute URL.
 */
export function targetOf({
  url = '',
  httpVersion = '1.1',
  headers,
  rawHeaders = [],
}: UpgradeRequest): RequestTarget | undefined {
  if (
    httpVersion !== '1.1' ||
    headers.host === undefined ||
    rawHeaders.filter(isHostName).length > 1
  )
    return undefined;
  const pathAndQuery = pathAndQueryOf(url);
  if (pathAndQuery === undefined) return undefined;
  const [, authority] = ABSOLUTE.exec(url) ?? [];
  const host = hostOf(headers.host);
  const target = authority === undefined ? host : hostOf(authority);
  if (host === undefined || target === undefined) return undefined;
  return { url: pathAndQuery, ...target };
}

/** Path and query of a request target; undefined if it is neither a path nor an absolute URL. */
export function pathAndQueryOf(target: string): string | undefined {
  if (target.startsWith('/')) return target;
  const [, authority, rest = ''] = ABSOLUTE.exec(target) ?? [];
  if (authority === undefined) return undefined;
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/** The element of `rawHeaders` at `index` is the name of a Host header. */
function isHostName(text: string, index: number): boolean {
  return index % 2 === 0 && text.length === 4 && text.toLowerCase() === 'host';
}

/** The parts of `host` or `host:port`, with the name as a URL has it; undefined if malformed. */
function hostOf(text: string): Pick<RequestTarget, 'hostname' | 'port'> | undefined {
  const [, name = '', port] = /^([^\s/?#@\\]+?)(?::(\d*))?$/.exec(text) ?? [];
  const hostname =
    name === '' || name.length > MAX_HOST_CHARACTERS
      ? undefined
      : parseUrl(`http://${name}`)?.hostname;
  if (hostname === undefined || Number(port) > 65_535) return undefined;
  return { hostname, port: port === undefined || port === '' ? undefined : Number(port) };
}

/** The request announces a body. Node.js would pass its bytes on as the first WebSocket frames. */
export function hasBody(headers: IncomingHttpHeaders): boolean {
  const length = headers['content-length'];
  return (
    headers['transfer-encoding'] !== undefined || (length !== undefined && !/^0+$/.test(length))
  );
}
