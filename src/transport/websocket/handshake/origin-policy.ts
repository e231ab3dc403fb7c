/**
 * Decides which web pages may connect to a server.
 *
 * A browser lets each page connect to each server, with the user's cookies for the server, and
 * sends the page's origin. A request without an origin does not come from a page. A page of the
 * server's own host is allowed if that host is known to be the server's. Otherwise DNS rebinding
 * would give any page the right origin: its name then has the server's address, and its origin
 * equals the Host header.
 */
import { isIPv4 } from 'node:net';
import type { WebSocketOptions } from '../../types.js';
import { parseUrl } from '../url.js';
import type { RequestTarget } from './upgrade-request.js';

/** Characters of scheme, host and port. */
const MAX_ORIGIN_CHARACTERS = 512;

/** `ask`: the function `allowOrigin` decides; see isOriginAllowed(). */
export type OriginDecision = 'allowed' | 'ask' | 'origin refused' | 'host refused';

/** `listenHost`: the host of the server's address; empty for all interfaces. */
export function checkOrigin(
  origin: string | undefined,
  target: RequestTarget,
  listenHost: string,
  { allowOrigin = [], allowHost = [] }: WebSocketOptions,
): OriginDecision {
  if (origin === undefined) return 'allowed';
  const isSameHost = isOriginOf(target, origin);
  if (isSameHost && isOwnHost(target.hostname, listenHost, allowHost)) return 'allowed';
  if (typeof allowOrigin === 'function') return 'ask';
  if (allowOrigin.includes(origin)) return 'allowed';
  return isSameHost ? 'host refused' : 'origin refused';
}

/**
 * Calls the function `allowOrigin`. If it throws or rejects, calls `onError` and resolves with
 * false.
 */
export async function isOriginAllowed(
  allowOrigin: WebSocketOptions['allowOrigin'],
  origin: string,
  onError: (error: unknown) => void,
): Promise<boolean> {
  try {
    return typeof allowOrigin === 'function' && (await allowOrigin(origin)) === true;
  } catch (error) {
    onError(error);
    return false;
  }
}

/** A page with this origin was loaded from the host and port that the request names. */
function isOriginOf({ hostname, port }: RequestTarget, origin: string): boolean {
  const page = origin.length > MAX_ORIGIN_CHARACTERS ? undefined : parseUrl(origin);
  if (page === undefined || page.hostname !== hostname || page.origin !== origin.toLowerCase())
    return false;
  // The scheme of the page decides for both, because a proxy may terminate TLS before this server.
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
  // DNS rebinding needs a name, so an IP address is safe.
  return hostname.startsWith('[') || isIPv4(hostname);
}
