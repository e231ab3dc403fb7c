/** Checks the options of connect(), and applies their defaults. */
import { checkCallback } from '../../core/callbacks.js';
import { badOption, withDefaults } from '../../core/options.js';
import { LONGEST_TIMER } from '../../core/timers.js';
import type { ClientOptions, DialOptions } from '../types.js';
import { type ResolvedReconnect, resolveReconnect } from './reconnect-schedule.js';

/** Milliseconds. */
export const CLIENT_DEFAULTS = { connections: 1, connectTimeout: 5_000 } satisfies ClientOptions;

/** `socket` is undefined here: Platform.clientOptions() returns it. */
export type ResolvedClientOptions = DialOptions &
  Pick<ClientOptions, 'onState' | 'rate'> &
  typeof CLIENT_DEFAULTS & { reconnect: ResolvedReconnect | undefined };

/**
 * Returns the options with their defaults. Throws BAD_OPTION. `proxy`, and the fields of `tls`,
 * `udp` and `websocket`, are checked by the transports that use them.
 */
export function resolveClientOptions(options: ClientOptions): ResolvedClientOptions {
  const checked = withDefaults(CLIENT_DEFAULTS, options, {
    connections: [1, 10_000, 'integer'],
    connectTimeout: [1, LONGEST_TIMER],
  });
  const { tls, udp, websocket, proxy, onState, rate, reconnect } = options;
  for (const [name, value] of Object.entries({ tls, udp, websocket }))
    if (value !== undefined && (typeof value !== 'object' || value === null))
      throw badOption(name, value, 'an object');
  checkCallback('onState', onState);
  return {
    tls,
    udp,
    websocket,
    proxy,
    onState,
    rate,
    reconnect: resolveReconnect(reconnect),
    ...checked,
  };
}
