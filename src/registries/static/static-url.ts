/** `static:ADDRESS,ADDRESS?service=S&group=G&version=V&protocol=P` */
import { gettyError } from '../../core/errors.js';
import { decodePart, readQuery, splitQuery } from '../shared/url-parts.js';
import { STATIC_NAMES, type StaticRegistryOptions } from './index.js';

/**
 * The addresses and options of a URL. In an address the characters `,` `?` `#` and `%` are
 * percent-encoded. Throws BAD_ADDRESS.
 */
export function parseStaticUrl(given: string): {
  readonly addresses: readonly string[];
  readonly options: StaticRegistryOptions;
} {
  const { text, query } = splitQuery(given.slice('static:'.length));
  if (text === '' || given.includes('#'))
    throw gettyError(
      'BAD_ADDRESS',
      'registry: got a static: URL without an address or with a #, expected ' +
        'static:tcp://host:port,tcp://host2:port?service=NAME',
    );
  return {
    addresses: text.split(',').map((part) => decodePart('static', part)),
    options: readQuery('static', query, Object.keys(STATIC_NAMES)) as StaticRegistryOptions,
  };
}
