/**
 * Checks at the start of a server who can reach its service Admin. Which caller may do what is
 * decided for each call by `authorize` of auth(), in `interceptors/auth.ts`.
 */
import { isIP, Server as NetServer } from 'node:net';
import { gettyError } from '../../core/errors.js';
import { ALL_SCHEMES, parseAddress } from '../../transport/address.js';
import { addressList } from '../../transport/platform.js';
import type { HttpServerAddress, ServerAddress } from '../../transport/types.js';
import { hasAuthorization } from '../interceptors/auth.js';
import type { Interceptor } from '../types.js';

/**
 * Throws BAD_OPTION for the option `admin` of a server at `address` that other machines can reach,
 * unless the interceptors authorize each call. Throws BAD_ADDRESS.
 */
export function checkAdminProtection(
  address: ServerAddress | readonly ServerAddress[],
  interceptors: readonly Interceptor[],
): void {
  if (hasAuthorization(interceptors) || addressList(address).every(isOfThisMachine)) return;
  throw gettyError(
    'BAD_OPTION',
    'admin: got true at an address that other machines can reach, expected interceptors with ' +
      'auth({ authenticate, authorize }), or an address at 127.0.0.1, [::1], localhost, unix:// ' +
      'or memory://, or an HTTP server that listens there already',
  );
}

/** Whether only programs of this machine can connect. */
function isOfThisMachine(address: ServerAddress): boolean {
  if (typeof address === 'object' && address !== null)
    return !('server' in address) || isHttpServerOfThisMachine(address);
  const { scheme, host } = parseAddress(address, ALL_SCHEMES);
  return scheme === 'unix' || scheme === 'memory' || isLoopback(host);
}

/** False for an HTTP server that does not listen yet: it may listen anywhere. */
function isHttpServerOfThisMachine({ server }: HttpServerAddress): boolean {
  // Each HTTP server is one; serve() of the transport rejects others.
  const bound = server instanceof NetServer ? server.address() : null;
  if (typeof bound === 'string') return true;
  return bound !== null && isLoopback(bound.address);
}

function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
