/** The transports of `ws://` and `wss://`. */
import { defaultMaxSessions } from '../descriptors.js';
import type { Transport } from '../types.js';
import type { WebSocketScheme } from './websocket-address.js';
import { dial } from './websocket-client.js';
import { listen } from './websocket-server.js';

function transportOf(scheme: WebSocketScheme): Transport {
  return {
    get maxSessions() {
      return defaultMaxSessions();
    },
    listen: (address, options, accept) => listen(scheme, address, options, accept),
    dial: (address, options, signal) => dial(scheme, address, options, signal),
  };
}

export const ws = transportOf('ws');
export const wss = transportOf('wss');
