/** Checks the options of connect(), and applies their defaults. */
import { checkCallback } from '../../core/callbacks.js';
import { badOption, withDefaults } from '../../core/options.js';
import { LONGEST_TIMER } from '../../core/timers.js';
import type { Address } from '../address.js';
import type { ClientOptions, DialOptions } from '../types.js';
import { type ResolvedReconnect, resolveReconnect } from './reconnect-schedule.js';

/** Milliseconds. */
export const CLIENT_DEFAULTS = { connections: 1, connectTimeout: 5_000 } satisfies ClientOptions;

/** `socket` is undefined here: Platform.sockets returns it. */
export type ResolvedClientOptions = DialOptions &
  Pick<ClientOptions, 'onState' | 'rate'> &
  typeof CLIENT_DEFAULTS & { reconnect: ResolvedReconnect | undefined };

/**
 * Returns the options with their defaults. Throws BAD_OPTION. `proxy`, and the fields of `tls`,
 * `udp` and `websocket`, are checked by the transports that use them. A process can be connected to
 * once, so at `stdio` the client does not reconnect.
 */
export function resolveClientOptions(
  options: ClientOptions,
  addresses: readonly Address[] = [],
): ResolvedClientOptions {
  const checked = withDefaults(CLIENT_DEFAULTS, options, {
    connections: [1, 10_000, 'integer'],
    connectTimeout: [1, LONGEST_TIMER],
  });
  const { tls, udp, websocket, proxy, onState, rate, reconnect } = options;
  for (const [name, value] of Object.entries({ tls, udp, websocket }))
    if (value !== undefined && (typeof value !== 'object' || value === null))
      throw badOption(name, value, 'an object');
  checkCallback('onState', onState);
  const isStdio = addresses.some(({ stdio }) => stdio !== undefined);
  if (isStdio && checked.connections > 1)
    throw badOption('connections', checked.connections, '1 at { stdio }, which has one connection');
  const resolved = resolveReconnect(reconnect);
  return {
    tls,
    udp,
    websocket,
    proxy,
    onState,
    rate,
    reconnect: isStdio ? undefined : resolved,
    ...checked,
  };
}
