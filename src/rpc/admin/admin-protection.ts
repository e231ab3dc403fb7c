/**
 * Checks at the start of a server who can reach its service Admin. Which caller may do what is
 * decided for each call by `authorize` of auth(), in `interceptors/auth.ts`.
 */
import { isIP } from 'node:net';
import { gettyError } from '../../core/errors.js';
import { ALL_SCHEMES, parseAddress } from '../../transport/address.js';
import { hasAuthorization } from '../interceptors/auth.js';
import type { Interceptor } from '../types.js';

/**
 * Throws BAD_OPTION for the option `admin` of a server at `address` that other machines can reach,
 * unless the interceptors authorize each call. Throws BAD_ADDRESS.
 */
export function checkAdminProtection(address: string, interceptors: readonly Interceptor[]): void {
  if (hasAuthorization(interceptors) || isOfThisMachine(address)) return;
  throw gettyError(
    'BAD_OPTION',
    'admin: got true at an address that other machines can reach, expected interceptors with ' +
      'auth({ authenticate, authorize }), or an address at 127.0.0.1, [::1], localhost, unix:// ' +
      'or memory://',
  );
}

/** Whether only programs of this machine can connect. */
function isOfThisMachine(address: string): boolean {
  const { scheme, host } = parseAddress(address, ALL_SCHEMES);
  if (scheme === 'unix' || scheme === 'memory') return true;
  if (host.toLowerCase() === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
