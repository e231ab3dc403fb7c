/** Addresses: the scheme picks the transport. */
import { gettyError } from '../core/errors.js';

export interface Address {
  /** Without the colon: `tcp`. */
  readonly scheme: string;
  /** A name or an IP address, IPv6 without its brackets. Empty: all interfaces of this machine. */
  readonly host: string;
  /** 0 asks for any free port. */
  readonly port: number;
  /** What follows them, with its slash: the file of a Unix socket (or `@` and a name that is no file), or the path of a WebSocket. */
  readonly path: string;
  /** As it was given. */
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
const DEFAULT_PORTS: Readonly<Record<string, number>> = { ws: 80, wss: 443 };
const PARTS = /^([a-z]+):\/\/(\[[0-9a-fA-F:.]+\]|[^\s/:[\]]*)(?::(\d{1,5}))?(\/[^\s]*)?$/;

/** `unix://@name`: a name that is no file. */
const ABSTRACT = /^unix:\/\/(@\S+)$/;

/** Read an address. Throws BAD_ADDRESS, which names the forms that are allowed. */
export function parseAddress(text: string, schemes: readonly string[]): Address {
  const [, name] = (typeof text === 'string' && schemes.includes('unix') && ABSTRACT.exec(text)) || [];
  if (name !== undefined) return { scheme: 'unix', host: '', port: 0, path: name, text };
  const [, scheme = '', host = '', digits, path = ''] = (typeof text === 'string' && PARTS.exec(text)) || [];
  const port = digits === undefined ? DEFAULT_PORTS[scheme] : Number(digits);
  if (!schemes.includes(scheme) || !isWhole(scheme, host, port, path)) throw badAddress(text, schemes);
  return { scheme, host: host.replace(/^\[|\]$/g, ''), port: port ?? 0, path, text };
}

function isWhole(scheme: string, host: string, port: number | undefined, path: string): boolean {
  if (scheme === 'memory') return port === undefined && path.length <= 1;
  if (scheme === 'unix') return port === undefined && host === '' && path.length > 1;
  if (port === undefined || port > 65535) return false;
  return scheme === 'ws' || scheme === 'wss' || path.length <= 1;
}

function badAddress(text: unknown, schemes: readonly string[]): Error {
  const forms = schemes.map((scheme) => FORMS[scheme]).join(' or ');
  return gettyError('BAD_ADDRESS', `address: given ${JSON.stringify(text) ?? String(text)}, expected ${forms}, with a port from 0 to 65535`);
}

/** `tcp://127.0.0.1:80`, `tcp://[::1]:80`. */
export function formatAddress(scheme: string, host: string, port: number): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
