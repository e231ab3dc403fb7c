/** The two addresses of `getty proxy`, and which schemes can be combined. */
import { showUrl } from '../../core/redact.js';
import { UsageError } from '../failure.js';
import type { Framing } from './traffic-record.js';

export interface ProxyAddresses {
  readonly listen: string;
  readonly target: string;
  /** The schemes that LISTEN may have. */
  readonly listenSchemes: readonly string[];
  readonly framing: Framing;
  /** Whether the connections to the target are encrypted. */
  readonly isEncrypted: boolean;
}

/** What LISTEN may be for each scheme of TARGET. The proxy reads what arrives at LISTEN. */
const LISTEN_SCHEMES: Readonly<Record<string, readonly string[]>> = {
  tcp: ['tcp', 'unix'],
  tls: ['tcp', 'unix'],
  unix: ['unix', 'tcp'],
  ws: ['ws'],
  wss: ['ws'],
  udp: ['udp'],
};
const FRAMINGS: Readonly<Record<string, Framing>> = {
  ws: 'websocket',
  wss: 'websocket',
  udp: 'datagrams',
};
const ENCRYPTED = ['tls', 'wss'];
const FORMS = 'tcp://host:port, unix:///path, udp://host:port or ws://host:port';
const TARGET_FORMS = `${FORMS}, or tls://host:port or wss://host:port/path`;

const schemeOf = (text: string): string => /^([a-z]+):\/\//.exec(text)?.[1] ?? '';

/** Throws UsageError. The proxy checks the rest of the addresses. */
export function proxyAddresses(listen: string, target: string): ProxyAddresses {
  const scheme = schemeOf(target);
  const listenSchemes = Object.hasOwn(LISTEN_SCHEMES, scheme) ? LISTEN_SCHEMES[scheme] : undefined;
  if (listenSchemes === undefined)
    throw new UsageError(`TARGET: got ${showUrl(target)}, expected ${TARGET_FORMS}`);
  const listenScheme = schemeOf(listen);
  if (ENCRYPTED.includes(listenScheme))
    throw new UsageError(
      `LISTEN: got ${showUrl(listen)}; the proxy cannot read what a client encrypts: let it connect ` +
        `to ${listenSchemes[0]}://, and give ${listenScheme}:// as TARGET if the server expects it`,
    );
  if (!listenSchemes.includes(listenScheme)) {
    const expected = listenSchemes.map((each) => `${each}://`).join(' or ');
    throw new UsageError(
      `LISTEN: got ${showUrl(listen)}, expected ${expected} for a TARGET with ${scheme}://`,
    );
  }
  if (listen === target)
    throw new UsageError(`TARGET: got ${showUrl(target)}, expected another address than LISTEN`);
  return {
    listen,
    target,
    listenSchemes,
    framing: FRAMINGS[scheme] ?? 'stream',
    isEncrypted: ENCRYPTED.includes(scheme),
  };
}

/** The address for clients. `bound`: where the proxy listens, with the scheme tcp, unix or udp. */
export function clientAddress({ framing, target }: ProxyAddresses, bound: string): string {
  if (framing !== 'websocket') return bound;
  // Without its query, which may have a token.
  const [, path = ''] = /^\w+:\/\/[^/?#]*(\/[^?#]*)?/.exec(target) ?? [];
  return `${bound.replace(/^tcp:/, 'ws:')}${path}`;
}
