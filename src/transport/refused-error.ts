/** The error of a session that a server refuses. */

import { GettyError } from '../core/errors.js';
import { badOption, checkNames, type Names } from '../core/options.js';

/**
 * Why a server refused a peer:
 *
 * - `tls`: the TLS handshake failed
 * - `timeout`: the handshake was not complete within handshakeTimeout
 * - `request`: the peer sent no upgrade request, or an invalid one
 * - `path`: the server does not serve the requested path
 * - `host`, `origin`: see WebSocketOptions.allowHost and allowOrigin
 * - `setup`: the setup function threw, returned a promise, or returned an invalid setup
 * - `limit`: maxSessions or maxSessionsPerAddress is reached
 * - `address`: ServerOptions.allow or deny refuses the address
 * - `proxy`: see ServerOptions.behindProxy: the peer is not a trusted proxy, or what it says of its
 *   client cannot be read
 * - `fault`: an internal error of this package
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
  | 'address'
  | 'proxy'
  | 'fault';

/** The counters of a new server, in the order of `server.refusals`. */
export const NO_REFUSALS: Readonly<Record<RefusalReason, number>> = {
  tls: 0,
  timeout: 0,
  request: 0,
  path: 0,
  host: 0,
  origin: 0,
  setup: 0,
  limit: 0,
  address: 0,
  proxy: 0,
  fault: 0,
};

const OPTION_NAMES: Names = { status: true, reason: true, cause: true };

/** Whether the constructor of RefusedError has made `value`. */
let hasBrand: (value: object) => boolean;

/**
 * The error with which a server refuses a peer; its `code` is SESSION_REFUSED. Throw it in a setup
 * function to refuse a session and to choose the HTTP status of the answer to a WebSocket request.
 * The peer receives the status and never the message. On other transports the connection is closed.
 *
 * ```ts
 * throw new RefusedError('the token has expired', { status: 401 });
 * ```
 */
export class RefusedError extends GettyError {
  /** The HTTP status of the answer to a WebSocket request. */
  readonly status: number;
  /** The counter in `server.refusals` that counts this refusal. */
  readonly reason: RefusalReason;
  readonly #isRefusal = true;

  /**
   * `status`: from 400 to 599, default 403. `reason`: default `'setup'`. `cause`: default none.
   * Throws BAD_OPTION for a status out of range and an unknown reason.
   */
  constructor(
    message: string,
    options: {
      status?: number | undefined;
      reason?: RefusalReason | undefined;
      cause?: unknown;
    } = {},
  ) {
    checkNames('RefusedError', options, OPTION_NAMES);
    const { status = 403, reason = 'setup', cause } = options;
    super('SESSION_REFUSED', message, cause);
    if (!isReason(reason)) throw badOption('reason', reason, Object.keys(NO_REFUSALS).join(', '));
    if (!isStatus(status)) throw badOption('status', status, 'an integer from 400 to 599');
    this.name = 'RefusedError';
    this.status = status;
    this.reason = reason;
  }

  static {
    hasBrand = (value) => #isRefusal in value;
  }
}

/**
 * Whether `error` is a RefusedError whose status and reason are still valid: a program can
 * overwrite them with the text of a peer. False for a Proxy. Never throws.
 */
export function isIntactRefusal(error: unknown): error is RefusedError {
  if (typeof error !== 'object' || error === null || !hasBrand(error)) return false;
  const ownValue = (name: string): unknown => Object.getOwnPropertyDescriptor(error, name)?.value;
  return isStatus(ownValue('status')) && isReason(ownValue('reason'));
}

const isStatus = (status: unknown): boolean =>
  Number.isInteger(status) && (status as number) >= 400 && (status as number) <= 599;

const isReason = (reason: unknown): boolean =>
  typeof reason === 'string' && Object.hasOwn(NO_REFUSALS, reason);
