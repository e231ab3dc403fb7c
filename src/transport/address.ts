/** Addresses: the scheme picks the transport. */
import { gettyError } from '../core/errors.js';
import { redactUrl, showUrl } from '../core/redact.js';

/** User and password, decoded. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export interface Address {
  /** Without the colon: `tcp`. */
  readonly scheme: string;
  /**
   * A name or an IP address, IPv6 without its brackets and with its zone (`fe80::1%eth0`). Empty:
   * all interfaces of this machine.
   */
  readonly host: string;
  /** 0 asks for any free port. */
  readonly port: number;
  /**
   * What follows them, with its slash: the file of a Unix socket (or `@` and a name that is no
   * file), or the path of a WebSocket.
   */
  readonly path: string;
  /**
   * WebSocket only: what follows the question mark, percent-encoded. Undefined when there is none.
   */
  readonly query?: string | undefined;
  /** WebSocket only. */
  readonly credentials?: Credentials | undefined;
  /** As it was given, with `***` for its user information and its query: for messages. */
  readonly text: string;
}

/** The parts that an address of each scheme has. */
const FORMS: Readonly<Record<string, string>> = {
  tcp: 'tcp://host:port',
  tls: 'tls://host:port',
  udp: 'udp://host:port',
  ws: 'ws://host:port/path',
  wss: 'wss://host:port/path',
  unix: 'unix:///path/of/the/socket or unix://@name',
  memory: 'memory://name',
};
/** Every scheme that an address can have. */
export const ALL_SCHEMES: readonly string[] = Object.keys(FORMS);
const DEFAULT_PORTS: Readonly<Record<string, number>> = { ws: 80, wss: 443 };
const PARTS =
  /^([a-z]+):\/\/(?:([^\s/?#]*)@)?(\[[0-9a-fA-F:.]+(?:%[\w.~-]+)?\]|[^\s/:[\]@?#]*)(?::(\d{1,5}))?(\/[^\s?#]*)?(?:\?([^\s#]*))?$/;
/** Control characters and halves of a surrogate pair. */
const UNSAFE = /[\p{Cc}\p{Cs}]/u;

/** `unix://@name`: a name that is no file. */
const ABSTRACT = /^unix:\/\/(@[^\s?#]+)$/;

/** Read an address. Throws BAD_ADDRESS, which names the forms that are allowed. */
export function parseAddress(text: string, schemes: readonly string[]): Address {
  const given = typeof text === 'string' && !UNSAFE.test(text) ? text : '';
  const [, name] = (schemes.includes('unix') && ABSTRACT.exec(given)) || [];
  if (name !== undefined) return { scheme: 'unix', host: '', port: 0, path: name, text };
  const [, scheme = '', user, host = '', digits, path = '', query] = PARTS.exec(given) ?? [];
  const port = digits === undefined ? DEFAULT_PORTS[scheme] : Number(digits);
  const isWebSocket = scheme === 'ws' || scheme === 'wss';
  if (!schemes.includes(scheme) || !isWhole(scheme, host, port, path))
    throw badAddress(text, schemes);
  if (!isWebSocket && (user !== undefined || query !== undefined)) throw badAddress(text, schemes);
  return {
    scheme,
    // RFC 6874 writes the percent sign of a zone as %25.
    host: host.replace(/^\[|\]$/g, '').replace(/%25(?=.)/, '%'),
    port: port ?? 0,
    path: isWebSocket ? encodePath(path) : path,
    query: query === undefined ? undefined : encodePath(query),
    credentials: readCredentials(user, text, schemes),
    text: redactUrl(text),
  };
}

function isWhole(scheme: string, host: string, port: number | undefined, path: string): boolean {
  if (scheme === 'memory') return port === undefined && path.length <= 1;
  if (scheme === 'unix') return port === undefined && host === '' && path.length > 1;
  if (port === undefined || port > 65535) return false;
  return scheme === 'ws' || scheme === 'wss' || path.length <= 1;
}

/** RFC 7617: no colon in the user, no control character in either. */
function readCredentials(
  text: string | undefined,
  address: string,
  schemes: readonly string[],
): Credentials | undefined {
  if (!text) return undefined;
  const [, user = '', password = ''] = /^([^:]*):?(.*)$/.exec(text) ?? [];
  try {
    const decoded = { user: decodeURIComponent(user), password: decodeURIComponent(password) };
    if (!decoded.user.includes(':') && !UNSAFE.test(decoded.user + decoded.password))
      return decoded;
  } catch {
    // Not percent-encoded UTF-8.
  }
  throw badAddress(address, schemes);
}

/**
 * The path or the query of a URL with every character percent-encoded that may not stand there, and
 * hex digits in upper case: the same path has one form.
 */
export function encodePath(path: string): string {
  return path
    .replace(/%(?![0-9a-fA-F]{2})|[^\x21-\x7e]|["<>\\^`{|}]/gu, (char) => encodeURIComponent(char))
    .replace(/%[0-9a-fA-F]{2}/g, (triplet) => triplet.toUpperCase());
}

function badAddress(text: unknown, schemes: readonly string[]): Error {
  const forms = schemes.map((scheme) => FORMS[scheme]).join(' or ');
  return gettyError(
    'BAD_ADDRESS',
    `address: given ${showUrl(text)}, expected ${forms}, with a port from 0 to 65535`,
  );
}

/** `tcp://127.0.0.1:80`, `tcp://[::1]:80`, `tcp://[fe80::1%eth0]:80`. */
export function formatAddress(scheme: string, host: string, port: number): string {
  // A zone that begins with 25 would be read as RFC 6874 writes zones, so it is written in that
  // form.
  return `${scheme}://${host.includes(':') ? `[${host.replace(/%(?=25.)/, '%25')}]` : host}:${port}`;
}

/** An IPv6 address without its zone, which has a meaning on this machine alone. */
export function withoutZone(host: string): string {
  return host.includes(':') ? host.replace(/%.*$/, '') : host;
}
