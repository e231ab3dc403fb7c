/** Addresses: the scheme picks the transport. */
import { gettyError } from '../errors.js';

export interface Address {
  /** Without the colon: `tcp`. */
  readonly scheme: string;
  /** A name or an IP address, IPv6 without its brackets. Empty: all interfaces of this machine. */
  readonly host: string;
  /** 0 asks for any free port. */
  readonly port: number;
  /** As it was given. */
  readonly text: string;
}

const FORM = /^([a-z][a-z0-9+.-]*):\/\/(\[[0-9a-fA-F:.]+\]|[^\s/:[\]]*)(?::(\d{1,5}))?\/?$/;

/** Read `scheme://host:port`. Throws BAD_ADDRESS, which names the schemes that are allowed. */
export function parseAddress(text: string, schemes: readonly string[]): Address {
  const found = typeof text === 'string' ? FORM.exec(text) : null;
  const scheme = found?.[1] ?? '';
  if (found === null || !schemes.includes(scheme)) throw badAddress(text, schemes);
  const port = found[3] === undefined ? undefined : Number(found[3]);
  const host = (found[2] ?? '').replace(/^\[|\]$/g, '');
  if (scheme === 'memory' ? port !== undefined : port === undefined || port > 65535) throw badAddress(text, schemes);
  return { scheme, host, port: port ?? 0, text };
}

function badAddress(text: unknown, schemes: readonly string[]): Error {
  const forms = schemes.map((scheme) => (scheme === 'memory' ? 'memory://name' : `${scheme}://host:port`)).join(' or ');
  return gettyError('BAD_ADDRESS', `address: given ${JSON.stringify(text) ?? String(text)}, expected ${forms}, with a port from 0 to 65535`);
}

/** `tcp://127.0.0.1:80`, `tcp://[::1]:80`. */
export function formatAddress(scheme: string, host: string, port: number): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
