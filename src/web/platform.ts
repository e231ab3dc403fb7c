/** The transports of a page and of its workers. */
import { badOption } from '../core/options.js';
import { parseAddress } from '../transport/address.js';
import { hasName, type Platform } from '../transport/platform.js';
import { port } from '../transport/port/port.js';
import { parsePortAddress } from '../transport/port/port-address.js';
import type { PortAddress } from '../transport/types.js';
import { webSocket } from './websocket.js';

const transports = { ws: webSocket, wss: webSocket, port };

export const BROWSER: Platform = {
  transports,

  parseObject(given, of) {
    if (hasName(given, 'port')) return parsePortAddress(given as PortAddress, of);
    return parseAddress(given as never, Object.keys(transports));
  },

  compress(connection, compression) {
    const isStream = connection.endMessage === undefined;
    if (compression === 'snappy' || (isStream && compression !== 'none'))
      throw badOption(
        'compression',
        compression,
        `'none'${isStream ? '' : ' or DEFLATE'} for ${connection.remoteAddress}`,
      );
    // The same for `deflate`: the browser negotiates permessage-deflate with the server by itself.
    return connection;
  },
};
