/**
 * The client of a request that came through proxies, by `X-Forwarded-For` or `Forwarded` (RFC
 * 7239), as functions of headers.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { ProxySettings } from '../types.js';
import { canonicalIp, type HostAddress } from './ip-address.js';

/** Characters of a header that are read. */
const MAX_CHARACTERS = 8 * 1024;
/** Proxies between the client and the server. */
const MAX_PROXIES = 32;

/** A proxy that does not name its client (RFC 7239, sections 6.2 and 6.3). */
const UNNAMED = /^(?:unknown|_[\w.-]+)(?::(?:\d{1,5}|_[\w.-]+))?$/i;
/** Groups: an IPv6 address in brackets, another address, the port. */
const NODE = /^(?:\[([\da-f:.]+)\]|([\d.]+))(?::(?:(\d{1,5})|_[\w.-]+))?$/i;
/** RFC 9110: a token, and a quoted string without its quotes. */
const PARAMETER =
  /[ \t]*(?:([!#$%&'*+.^`|~\w-]+)=(?:([!#$%&'*+.^`|~\w-]+)|"((?:[^"\\]|\\.)*)")[ \t]*)?([;,]|$)/y;

/**
 * The client that the trusted proxies name. The list has the nearest proxy's peer last. A stranger
 * can write any entries before those of the proxies, so the list is read from its end: the client
 * is the first address that is no trusted proxy. Undefined: the peer itself is the client. Throws
 * an Error for an entry of a trusted proxy that cannot be read.
 */
export function forwardedClient(
  headers: IncomingHttpHeaders,
  { header, isTrusted }: ProxySettings,
): HostAddress | undefined {
  const text = [headers[header] ?? ''].flat().join(',');
  if (text.trim() === '') return undefined;
  if (text.length > MAX_CHARACTERS)
    throw new Error(`the header ${header} is longer than ${MAX_CHARACTERS} characters`);
  const entries = header === 'forwarded' ? forwardedFor(text) : text.split(',');
  let client: HostAddress | undefined;
  for (let proxies = 0; ; proxies++) {
    const entry = entries.pop()?.trim();
    if (entry === undefined || UNNAMED.test(entry)) return client;
    if (proxies === MAX_PROXIES)
      throw new Error(`the header ${header} has more than ${MAX_PROXIES} proxies`);
    client = parseNode(entry);
    if (client === undefined)
      throw new Error(`the header ${header} has an entry that is no address`);
    if (!isTrusted(client.host)) return client;
  }
}

/** An address, with or without a port. X-Forwarded-For also has IPv6 addresses without brackets. */
function parseNode(entry: string): HostAddress | undefined {
  const [, bracketed, plain, digits = '0'] = NODE.exec(entry) ?? [];
  const host = canonicalIp(bracketed ?? plain ?? entry);
  const port = Number(digits);
  return host === undefined || port > 65535 ? undefined : { host, port };
}

/** The parameter `for` of each element, `unknown` without one. Throws for another syntax. */
function forwardedFor(text: string): string[] {
  const found: string[] = [];
  let node = 'unknown';
  for (let at = 0; at <= text.length; ) {
    PARAMETER.lastIndex = at;
    const [match, name, token, quoted, separator] = PARAMETER.exec(text) ?? [];
    if (match === undefined)
      throw new Error('the header forwarded does not have the syntax of RFC 7239');
    if (name?.toLowerCase() === 'for') node = token ?? (quoted ?? '').replace(/\\(.)/g, '$1');
    if (separator !== ';') {
      found.push(node);
      node = 'unknown';
    }
    if (separator === '') break;
    at += match.length;
  }
  return found;
}
