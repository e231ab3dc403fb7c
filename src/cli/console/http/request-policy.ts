/**
 * Which HTTP requests the console answers. Any page in the browser can send requests to this
 * process, and DNS rebinding gives such a page a name with the address of this process. So the Host
 * header must be an IP address or a known name, and a WebSocket must come from our own page.
 */
import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';

export interface RequestPolicy {
  /** Names that the Host header may have, besides IP addresses and localhost. */
  readonly hosts: readonly string[];
  /** Undefined: no token is needed. */
  readonly token: string | undefined;
}

/** The name in a Host header, without its port; undefined if it is malformed. */
export function hostNameOf(host: string | undefined): string | undefined {
  const [, ipv6, name] =
    /^(?:\[([0-9a-f:.]+)\]|([^\s:/?#@[\]\\]+))(?::\d{1,5})?$/i.exec(host ?? '') ?? [];
  return (ipv6 ?? name)?.toLowerCase();
}

/** DNS rebinding needs a name, so an IP address is safe. */
export function isHostAllowed(host: string | undefined, { hosts }: RequestPolicy): boolean {
  const name = hostNameOf(host);
  if (name === undefined) return false;
  return (
    isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost') || hosts.includes(name)
  );
}

/** Whether a page that this process has served sends the request. */
export function isOwnOrigin({ host, origin }: IncomingHttpHeaders): boolean {
  // https: a proxy may end TLS.
  return host !== undefined && (origin === `http://${host}` || origin === `https://${host}`);
}

/** The path of a request, and its parameter `token`. */
export function parseRequestUrl(url = ''): { readonly path: string; readonly token?: string } {
  const at = url.indexOf('?');
  if (at < 0) return { path: url };
  const token = new URLSearchParams(url.slice(at)).get('token');
  return { path: url.slice(0, at), ...(token !== null && { token }) };
}

/** Compares in constant time. */
export function isTokenValid(given: string | undefined, { token }: RequestPolicy): boolean {
  if (token === undefined) return true;
  const [a, b] = [Buffer.from(given ?? ''), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}
