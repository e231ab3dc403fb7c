/** The error of a session that a server refuses. */

import { GettyError } from '../core/errors.js';
import { badOption } from '../core/options.js';

/**
 * Why a server refused a peer. `tls`: the TLS handshake failed. `timeout`: no whole handshake
 * within handshakeTimeout. `request`: not an upgrade request, or a wrong one. `path`: no server at
 * this path. `host`, `origin`: see WebSocketOptions. `setup`: the setup function threw, or returned
 * a wrong setup. `limit`: maxSessions or maxSessionsPerAddress. `fault`: a fault of this package.
 */
export type RefusalReason =
  | 'tls'
  | 'timeout'
  | 'request'
  | 'path'
  | 'host'
  | 'origin'
  | 'setup'
  | 'limit'
  | 'fault';

/**
 * Throw it in a setup function to refuse a session and to choose the HTTP status with which a
 * WebSocket request is answered. Its `code` is SESSION_REFUSED. The peer is told the status and
 * never the message. On transports without HTTP the connection is closed.
 *
 * `status`: from 400 to 599, default 403. `reason`: the counter in `server.refusals`, default
 * `setup`. Throws BAD_OPTION for a status out of its range.
 *
 * ```ts
 * throw new RefusedError('the token has expired', { status: 401 });
 * ```
 */
export class RefusedError extends GettyError {
  readonly status: number;
  readonly reason: RefusalReason;

  constructor(
    message: string,
    options: {
      status?: number | undefined;
      reason?: RefusalReason | undefined;
      cause?: unknown;
    } = {},
  ) {
    const { status = 403, reason = 'setup', cause } = options;
    super('SESSION_REFUSED', message, cause);
    if (!Number.isInteger(status) || status < 400 || status > 599)
      throw badOption('status', status, 'an integer from 400 to 599');
    this.name = 'RefusedError';
    this.status = status;
    this.reason = reason;
  }
}
