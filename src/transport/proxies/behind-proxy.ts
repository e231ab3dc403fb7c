/** Reads the options of a server that depend on the addresses of its peers. */
import { badOption, checkNames } from '../../core/options.js';
import type { Address } from '../address.js';
import { BEHIND_PROXY_NAMES } from '../option-names.js';
import type { BehindProxyOptions, ProxySettings, ServerOptions } from '../types.js';
import { type IncludesHost, readAddressList } from './address-list.js';

const HEADERS: readonly unknown[] = ['proxy-protocol', 'x-forwarded-for', 'forwarded'];
/** Schemes whose servers read the PROXY protocol. */
const STREAMS = /^(?:tcp|tls|ws|wss)$/;

/** The option `allow` or `deny`. Throws BAD_OPTION, also if the peers of `address` have no host. */
export function readPeerList(
  name: 'allow' | 'deny',
  given: ServerOptions['allow'],
  { scheme, text }: Address,
): IncludesHost | undefined {
  if (given === undefined) return undefined;
  if (scheme === 'unix' || scheme === 'memory')
    throw badOption(name, given, `an address whose peers have hosts with it, not ${text}`);
  // An empty array of allowed addresses would refuse all peers.
  return readAddressList(name, given, name === 'allow' ? 1 : 0);
}

/**
 * The option `behindProxy`. Throws BAD_OPTION, also for a header that the transport of `address`
 * does not have.
 */
export function readBehindProxy(
  options: BehindProxyOptions | undefined,
  { scheme, httpServer, text }: Address,
): ProxySettings | undefined {
  if (options === undefined) return undefined;
  checkNames('behindProxy', options, BEHIND_PROXY_NAMES);
  const { trusted, header } = options;
  if (!STREAMS.test(scheme))
    throw badOption(
      'behindProxy',
      options,
      `an address at tcp://, tls://, ws:// or wss:// with it, not ${text}`,
    );
  if (!HEADERS.includes(header))
    throw badOption('behindProxy.header', header, HEADERS.map((name) => `'${name}'`).join(' or '));
  if (header !== 'proxy-protocol' && !scheme.startsWith('ws'))
    throw badOption(
      'behindProxy.header',
      header,
      `'proxy-protocol' at ${text}: only a WebSocket begins with a request of HTTP`,
    );
  if (header === 'proxy-protocol' && httpServer !== undefined)
    throw badOption(
      'behindProxy.header',
      header,
      "'x-forwarded-for' or 'forwarded': the HTTP server reads the bytes before the request",
    );
  return { header, isTrusted: readAddressList('behindProxy.trusted', trusted, 1) };
}
