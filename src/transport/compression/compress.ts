/** Chooses the compression of a connection. */
import { constants } from 'node:zlib';
import { badOption } from '../../core/options.js';
import type { Compression, Connection } from '../types.js';
import { DeflateConnection } from './deflate-connection.js';
import { SnappyConnection } from './snappy-connection.js';

/**
 * Wraps `connection` in its compression. Returns `connection` itself for `none`, and for a
 * WebSocket with DEFLATE. Throws BAD_OPTION for a WebSocket with snappy, and for UDP: after a lost
 * message the inflater could not read the next one.
 */
export function compress(
  connection: Connection,
  compression: Compression,
  maxInflatedBytes: number,
): Connection {
  if (compression === 'none') return connection;
  if (connection.capabilities?.isLossy)
    throw badOption('compression', compression, `'none' for ${connection.remoteAddress}`);
  // A connection with messages compresses each message by itself.
  if (connection.endMessage !== undefined) {
    if (compression === 'snappy')
      throw badOption(
        'compression',
        compression,
        `'none' or DEFLATE for ${connection.remoteAddress}`,
      );
    return connection;
  }
  if (compression === 'snappy') return new SnappyConnection(connection, maxInflatedBytes);
  const level = compression === 'deflate' ? constants.Z_DEFAULT_COMPRESSION : compression.deflate;
  return new DeflateConnection(connection, level, maxInflatedBytes);
}
