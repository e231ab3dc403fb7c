/** Parses and formats addresses. The scheme of an address selects its transport. */
import { gettyError } from '../core/errors.js';
import { badOption } from '../core/options.js';
import { redactUrl, showUrl } from '../core/redact.js';

/** User and password of an address, percent-decoded. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** The value of a header that sends credentials (RFC 7617). Only in Node.js. */
export function basicAuthorization({ user, password }: Credentials): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/**
 * The part of a server of `node:http` or `node:https` that serve() shows to the compiler. Express
 * has one as the result of listen(), Fastify as `app.server`, Nest as `app.getHttpServer()`.
 */
export interface HttpServer {
  readonly listening: boolean;
  readonly headersTimeout: number;
}

/**
 * The end of a message channel: a MessagePort, a Worker, `parentPort` of Node.js, or `self` in a
 * worker of a page.
 */
export interface MessageEndpoint {
  postMessage(message: unknown, transfer: never): void;
}

/** The part of a ChildProcess, or of `process`, that serve() and connect() show to the compiler. */
export interface ProcessWithStdio {
  readonly pid?: number | undefined;
  readonly stdin: object | null;
  readonly stdout: object | null;
}

/** Two streams of Node.js, such as those of an SSH connection. */
export interface StreamPair {
  /** A Readable. */
  input: { readonly readable: boolean };
  /** A Writable. */
  output: { readonly writable: boolean };
}

/** One side of the standard input and output of a child process. */
export interface StdioEnd {
  readonly given: ProcessWithStdio | StreamPair;
  /** As those of a session. */
  readonly localAddress: string;
  readonly remoteAddress: string;
}

export interface Address {
  /** Without the colon: `tcp`. */
  readonly scheme: string;
  /**
   * A host name or an IP address. An IPv6 address has no brackets, and keeps its zone
   * (`fe80::1%eth0`). Empty: all interfaces of this machine.
   */
  readonly host: string;
  /** 0 selects a free port. */
  readonly port: number;
  /**
   * The path of a WebSocket with its slash, or the file of a Unix socket. A Unix socket in the
   * abstract namespace has `@` and a name.
   */
  readonly path: string;
  /** WebSocket only: the query without its question mark, percent-encoded. */
  readonly query?: string | undefined;
  /** WebSocket only. */
  readonly credentials?: Credentials | undefined;
  /**
   * The HTTP server whose `path` this is; `host` and `port` have no meaning then. Undefined: the
   * address has a port of its own.
   */
  readonly httpServer?: HttpServer | undefined;
  /** The message port that was given instead of a text. */
  readonly messagePort?: MessageEndpoint | undefined;
  /** The process or the streams that were given instead of a text. */
  readonly stdio?: StdioEnd | undefined;
  /** The address for messages: `***` stands for the user information and the query. */
  readonly text: string;
}

/** The address form of each scheme, for error messages. */
const FORMS: Record<string, string> = {
  tcp: 'tcp://host:port',
  tls: 'tls://host:port',
  udp: 'udp://host:port',
  ws: 'ws://host:port/path',
  wss: 'wss://host:port/path',
  unix: 'unix:///path/of/the/socket or unix://@name',
  memory: 'memory://name',
  port: '{ port } with a MessagePort or a Worker',
  stdio: '{ stdio } with a ChildProcess',
};
/** The schemes whose addresses are objects. No text is one of these addresses. */
const OBJECT_SCHEMES: readonly string[] = ['port', 'stdio'];
const allSchemes = Object.keys(FORMS).filter((scheme) => !OBJECT_SCHEMES.includes(scheme));
/** All schemes of texts. */
export const ALL_SCHEMES: readonly string[] = allSchemes;

/** Adds a scheme whose addresses have `host:port`. `form` is for error messages. */
export function addScheme(scheme: string, form: string): void {
  FORMS[scheme] = form;
  if (!allSchemes.includes(scheme)) allSchemes.push(scheme);
}

/**
 * The schemes at which `tls` is rejected. At unix:// and memory:// it is ignored, because no bytes
 * leave the machine.
 */
const UNENCRYPTED_SCHEMES = /^(?:tcp|udp|ws):/;

/** Whether serve() and connect() reject the option `tls` at the address `text`. */
export function rejectsTls(text: string): boolean {
  return UNENCRYPTED_SCHEMES.test(text);
}

/** Whether the transport of the address `text` rejects the option `proxy`. */
export function rejectsProxy(text: string): boolean {
  return !/^(?:tcp|tls|wss?):/.test(text);
}

/** The addresses whose sockets have an option of ServerSocketOptions. */
const TCP = /^(?:tcp|tls|wss?):/;
const UDP = /^udp:/;
const WITH_PORT = /^(?:tcp|tls|wss?|udp):/;
const WITH_SOCKET_OPTION: Readonly<Record<string, RegExp>> = {
  keepAlive: TCP,
  keepAliveDelay: TCP,
  noDelay: TCP,
  receiveBufferBytes: UDP,
  sendBufferBytes: UDP,
  backlog: /^(?:tcp|tls|wss?|unix):/,
  ipv6Only: WITH_PORT,
  reusePort: WITH_PORT,
};

/** Whether the sockets of the address `text` have the option `name` of ServerSocketOptions. */
export function hasSocketOption(name: string, text: string): boolean {
  return WITH_SOCKET_OPTION[name]?.test(text) === true;
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { ws: 80, wss: 443 };
/** Groups: scheme, user information, host, port (at most five digits), path, query. */
const PARTS =
  /^([a-z]+):\/\/(?:([^\s/?#]*)@)?(\[[0-9a-fA-F:.]+(?:%[\w.~-]+)?\]|[^\s/:[\]@?#]*)(?::(\d{1,5}))?(\/[^\s?#]*)?(?:\?([^\s#]*))?$/;
/** An address with a host and no port. */
const WITHOUT_PORT = /^[a-z]+:\/\/(?:[^\s/?#]*@)?(?:\[[^\s[\]]*\]|[^\s/:[\]@?#]*)(?:\/[^\s]*)?$/;
/** Groups: the port, and a path that is not empty. */
const PORT_AND_PATH =
  /^[a-z]+:\/\/(?:[^\s/?#]*@)?(?:\[[^\s[\]]*\]|[^\s/:[\]@?#]*):(\d+)(\/[^\s?#]+)?/;
/** Control characters and lone surrogates. */
const UNSAFE = /[\p{Cc}\p{Cs}]/u;

/** No query, fragment, white space, control character or lone surrogate. */
const PATH = /^\/[^\s?#\p{Cc}\p{Cs}]*$/u;

/** `unix://@name`: a name in the abstract namespace. */
const ABSTRACT = /^unix:\/\/(@[^\s?#]+)$/;

/**
 * Throws BAD_ADDRESS. Its message has the form of the scheme that is given; without a known one,
 * the forms of all `schemes`.
 */
export function parseAddress(text: string, schemes: readonly string[]): Address {
  const given = typeof text === 'string' && !UNSAFE.test(text) ? text : '';
  const [, name] = (schemes.includes('unix') && ABSTRACT.exec(given)) || [];
  if (name !== undefined) return { scheme: 'unix', host: '', port: 0, path: name, text };
  const [, scheme = '', user, host = '', digits, path = '', query] = PARTS.exec(given) ?? [];
  const port = digits === undefined ? DEFAULT_PORTS[scheme] : Number(digits);
  const isWebSocket = scheme === 'ws' || scheme === 'wss';
  if (!schemes.includes(scheme) || !hasRequiredParts(scheme, host, port, path))
    throw badAddress(text, schemes);
  if (!isWebSocket && (user !== undefined || query !== undefined)) throw badAddress(text, schemes);
  return {
    scheme,
    // RFC 6874 writes the percent sign of a zone as %25.
    host: host.replace(/^\[|\]$/g, '').replace(/%25(?=.)/, '%'),
    port: port ?? 0,
    path: isWebSocket ? encodePath(path) : path,
    query: query === undefined ? undefined : encodePath(query),
    credentials: parseCredentials(user, text, schemes),
    text: redactUrl(text),
  };
}

/**
 * Whether an address has the parts of its scheme. A scheme that is not named here has host:port.
 */
function hasRequiredParts(
  scheme: string,
  host: string,
  port: number | undefined,
  path: string,
): boolean {
  if (OBJECT_SCHEMES.includes(scheme)) return false;
  if (scheme === 'memory') return port === undefined && path.length <= 1;
  if (scheme === 'unix') return port === undefined && host === '' && path.length > 1;
  if (port === undefined || port > 65535) return false;
  return scheme === 'ws' || scheme === 'wss' || path.length <= 1;
}

/** RFC 7617 forbids a colon in the user, and control characters in both. */
function parseCredentials(
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
    // The text is not percent-encoded UTF-8.
  }
  throw badAddress(address, schemes);
}

/** The path of a URL with its slash, also if some of its characters must be percent-encoded. */
export function isPath(text: unknown): text is string {
  return typeof text === 'string' && PATH.test(text);
}

/**
 * Percent-encodes the characters that the path or the query of a URL must not contain. Hex digits
 * become upper case, so that equal paths have equal texts.
 */
export function encodePath(path: string): string {
  // encodeURI() also encodes brackets, and each percent sign. A replacement by a function takes
  // microseconds for each character of a long path, so there is one for each run of them.
  return encodeURI(path)
    .replaceAll('%5B', '[')
    .replaceAll('%5D', ']')
    .replace(/%25(?=[0-9a-fA-F]{2})/g, '%')
    .replace(/(?:%[0-9a-fA-F]{2})+/g, (run) => run.toUpperCase());
}

function badAddress(given: unknown, schemes: readonly string[]): Error {
  const [, scheme] =
    (typeof given === 'string' && /^\s*([a-z][a-z0-9+.-]*):\/\//i.exec(given)) || [];
  const known = schemes.find((other) => other === scheme?.toLowerCase());
  const forms = (known === undefined ? schemes : [known]).map((other) => FORMS[other]).join(' or ');
  const mistake = typeof given === 'string' ? mistakeOf(given, scheme, known) : '';
  const ports = forms.includes(':port') ? ', with a port from 0 to 65535' : '';
  return gettyError(
    'BAD_ADDRESS',
    `address: got ${showUrl(given)}${mistake}, expected ${forms}${ports}`,
  );
}

/**
 * What is wrong with an address, if it is one of the usual mistakes. `known`: its scheme, if it may
 * be used here.
 */
function mistakeOf(text: string, scheme: string | undefined, known: string | undefined): string {
  if (scheme === undefined) return text === '' ? '' : ' without a scheme';
  if (known === undefined) return ` with the scheme ${scheme}`;
  if (scheme !== known) return ' with a scheme in upper case';
  if (!FORMS[known]?.includes(':port')) return '';
  if (WITHOUT_PORT.test(text)) return Object.hasOwn(DEFAULT_PORTS, known) ? '' : ' without a port';
  const [, port, path] = PORT_AND_PATH.exec(text) ?? [];
  if (Number(port) > 65535) return ' with a port out of range';
  return path !== undefined && !Object.hasOwn(DEFAULT_PORTS, known) ? ' with a path' : '';
}

/** `tcp://127.0.0.1:80`, `tcp://[::1]:80`, `tcp://[fe80::1%eth0]:80`. */
export function formatAddress(scheme: string, host: string, port: number): string {
  // parseAddress() reads %25 as a percent sign (RFC 6874). So the percent sign before a zone that
  // begins with 25 is written as %25.
  return `${scheme}://${host.includes(':') ? `[${host.replace(/%(?=25.)/, '%25')}]` : host}:${port}`;
}

/** `host` without the zone of an IPv6 address, which has a meaning on this machine only. */
export function withoutZone(host: string): string {
  return host.includes(':') ? host.replace(/%.*$/, '') : host;
}

/** Groups: an IPv6 address without its zone, another host. */
const HOST =
  /^(?!unix|memory|port|stdio)[a-z]+:\/\/(?:[^/@]*@)?(?:\[([^\]%]+)[^\]]*\]|([^/:?[\]]+))/;

/**
 * The host of the address `text`, which formatAddress() has made, as AddressRules.check() gets it.
 * Undefined: the scheme has no hosts.
 */
export function hostOf(text: string): string | undefined {
  const [, ipv6, other] = HOST.exec(text) ?? [];
  // An IPv6 address that stands for an IPv4 address is that one.
  return ipv6?.replace(/^::ffff:(?=\d+\.)/, '') ?? other;
}

/** A name that can be the host of an address. */
const HOST_NAME = /^[\w.-]{1,64}$/;

/** Checks the `name` of an address that is an object. Throws BAD_OPTION. */
export function checkName(name: unknown): void {
  if (name !== undefined && (typeof name !== 'string' || !HOST_NAME.test(name)))
    throw badOption('name', name, 'at most 64 letters, digits and the characters _ . -');
}
