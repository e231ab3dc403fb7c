/** The options of connect() that a page does not have. */
import { badSecret } from '../../core/options.js';
import { type Address, rejectsProxy } from '../address.js';
import { clientSocketOptions } from '../socket-options.js';
import type { ClientOptions, SocketSettings } from '../types.js';

/**
 * The option `socket` with its defaults. Throws BAD_OPTION, also for a proxy if the client would
 * avoid it at one of its addresses.
 */
export function nodeClientOptions(
  { proxy, socket }: ClientOptions,
  addresses: readonly Address[],
): SocketSettings {
  const refusing = addresses.find(({ text }) => rejectsProxy(text));
  if (proxy !== undefined && refusing !== undefined)
    throw badSecret('proxy', proxy, `none at ${refusing.text}`);
  return clientSocketOptions(socket, addresses);
}
