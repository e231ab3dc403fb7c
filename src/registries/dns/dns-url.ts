/** `dns:NAME:PORT?scheme=S…`, and `dns://NAMESERVER/NAME:PORT` */
import { gettyError } from '../../core/errors.js';
import { decodePart, readQuery, splitQuery } from '../shared/url-parts.js';
import type { DnsRegistryOptions } from './registry-options.js';

type UrlOptions = Pick<DnsRegistryOptions, 'scheme' | 'path' | 'service' | 'group' | 'version'>;
const PARAMETERS = ['scheme', 'path', 'service', 'group', 'version', 'protocol'];
/** The name server is an IP address, so that no part of a password is taken for one. */
const NAME_SERVER = /^\/\/((?:[\d.]+|\[[\da-f:]+\])(?::\d+)?|)\/(.+)$/i;

/** The name and options of a URL. dns() checks their values. Throws BAD_ADDRESS. */
export function parseDnsUrl(given: string): {
  readonly name: string;
  readonly options: DnsRegistryOptions;
} {
  const { text, query } = splitQuery(given.slice('dns:'.length));
  const [, server = '', name] = NAME_SERVER.exec(text) ?? [undefined, '', text];
  if (name === undefined || name === '' || name.startsWith('/') || given.includes('#'))
    throw gettyError(
      'BAD_ADDRESS',
      'registry: got a dns: URL of another form, expected dns:host:port, dns:_service._tcp.domain ' +
        'or dns://nameserver/host:port',
    );
  return {
    name: decodePart('dns', name),
    options: {
      ...(readQuery('dns', query, PARAMETERS) as UrlOptions),
      ...(server !== '' && { servers: [server] }),
    },
  };
}
