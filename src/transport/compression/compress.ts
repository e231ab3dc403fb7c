/** Chooses the compression of a connection. */
import { constants } from 'node:zlib';
import { badOption } from '../../core/options.js';
import type { Compression, Connection } from '../types.js';
import { DeflateConnection } from './deflate-connection.js';
import { SnappyConnection } from './snappy-connection.js';

/**
 * Wraps `connection` in its compression. Returns `connection` itself for `none`, and for a
 * WebSocket, which compresses each message itself. Throws BAD_OPTION if messages may be lost: the
 * two compressors would no longer agree.
 */
export function compress(
  connection: Connection,
  compression: Compression,
  maxInflatedBytes: number,
): Connection {
  if (compression === 'none') return connection;
  if (connection.capabilities?.isLossy)
    throw badOption('compression', compression, `'none' for ${connection.remoteAddress}`);
  const hasOwnMessages = connection.endMessage !== undefined;
  if (hasOwnMessages && compression === 'snappy')
    throw badOption(
      'compression',
      compression,
      `'none' or DEFLATE for ${connection.remoteAddress}`,
    );
  if (hasOwnMessages) return connection;
  if (compression === 'snappy') return new SnappyConnection(connection, maxInflatedBytes);
  const level = compression === 'deflate' ? constants.Z_DEFAULT_COMPRESSION : compression.deflate;
  return new DeflateConnection(connection, level, maxInflatedBytes);
}
