/** `dns:NAME:PORT?scheme=S…`, and `dns://NAMESERVER/NAME:PORT` */
import { gettyError } from '../../core/errors.js';
import { decodePart, readQuery, splitQuery } from '../shared/url-parts.js';
import type { DnsRegistryOptions } from './registry-options.js';

const PARAMETERS = ['scheme', 'path', 'service', 'group', 'version', 'protocol'];
const NAME_SERVER = /^\/\/([\w.:[\]-]*)\/(.+)$/;

/** The name and options of a URL. dns() checks their values. Throws BAD_ADDRESS. */
export function parseDnsUrl(url: string): {
  readonly name: string;
  readonly options: DnsRegistryOptions;
} {
  const { text, query } = splitQuery(url.slice('dns:'.length));
  const [, server = '', name] = NAME_SERVER.exec(text) ?? [undefined, '', text];
  if (name === undefined || name === '' || name.startsWith('/') || url.includes('#'))
    throw gettyError(
      'BAD_ADDRESS',
      'registry: got a dns: URL of another form, expected dns:host:port, dns:_service._tcp.domain ' +
        'or dns://nameserver/host:port',
    );
  return {
    name: decodePart('dns', name),
    options: {
      ...(readQuery('dns', query, PARAMETERS) as DnsRegistryOptions),
      ...(server !== '' && { servers: [server] }),
    },
  };
}
