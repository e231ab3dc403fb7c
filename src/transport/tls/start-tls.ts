/** TLS on a socket that has carried plain text until now (STARTTLS): options and handshake. */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { connect, createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { gettyError, messageOf } from '../../core/errors.js';
import { withDefaults } from '../../core/options.js';
import { LONGEST_TIMER, startTimer } from '../../core/timers.js';
import { parseAddress } from '../address.js';
import { checkStartTlsNames } from '../option-names.js';
import { handshakeTimeoutError, tlsError } from '../stream/handshake-tracker.js';
import { PreambleReader } from '../stream/preamble-reader.js';
import { openUnlessDestroyed } from '../stream/socket-listener.js';
import type { StartTlsOptions, TlsSide } from '../types.js';
import { HostContexts, tlsHostOptions } from './tls-hosts.js';
import { tlsClientOptions } from './tls-options.js';

/** Milliseconds. */
export const START_TLS_DEFAULTS = { handshakeTimeout: 10_000 } satisfies StartTlsOptions;

/** Bytes of TlsOptions.ticketKeys of Node.js. */
const TICKET_KEY_BYTES = 48;

/** So that a server reads its files once, and clients can resume a TLS session. */
const serverOptions = new WeakMap<StartTlsOptions, TlsOptions>();

/** What a handshake calls: one of both, once. */
export interface HandshakeEvents {
  /** The handshake is complete and the peer is verified. */
  onSecure(socket: TLSSocket): void;
  /** The caller destroys the socket. */
  onFailed(error: Error): void;
}

/** Begins TLS on `socket`, which must have sent all its bytes. */
type Begin = (socket: Socket, onSecure: HandshakeEvents['onSecure'], fail: Fail) => void;
type Fail = (cause: Error) => void;

/** One handshake. */
export class TlsHandshake {
  readonly #begin: Begin;
  readonly #handshakeTimeout: number;
  readonly #isServer: boolean;

  /** Throws BAD_OPTION. */
  constructor(options: StartTlsOptions, side: TlsSide) {
    checkStartTlsNames(options);
    const { handshakeTimeout } = withDefaults(START_TLS_DEFAULTS, options, {
      handshakeTimeout: [1, LONGEST_TIMER],
    });
    this.#handshakeTimeout = handshakeTimeout;
    this.#isServer = side.isServer;
    this.#begin = side.isServer ? serverSide(options) : clientSide(options, side.address);
  }

  /** `remoteAddress`: that of the peer, for errors. */
  start(socket: Socket, remoteAddress: string, events: HandshakeEvents): void {
    let isOver = false;
    const end = (): void => {
      isOver = true;
      clearTimeout(timer);
      socket.off('close', onClose);
    };
    const fail = (error: Error): void => {
      // A destroyed TLS socket emits another error.
      if (isOver) return;
      end();
      events.onFailed(error);
    };
    const onTlsError: Fail = (cause) =>
      fail(this.#isServer ? tlsError(cause) : clientError(remoteAddress, cause));
    const onClose = (): void =>
      onTlsError(socket.errored ?? new Error('the peer closed the connection'));
    const timer = startTimer(() => {
      const error = handshakeTimeoutError(this.#handshakeTimeout);
      fail(this.#isServer ? error : clientError(remoteAddress, error));
    }, this.#handshakeTimeout);
    socket.once('close', onClose);
    // If the peer ends its side within the handshake, the socket must close at once.
    socket.allowHalfOpen = false;
    const begin = (writeError?: Error | null): void => {
      // A socket that a write has failed for is not destroyed yet.
      if (writeError != null || socket.destroyed) return;
      const onSecure = (secure: TLSSocket): void => {
        end();
        secure.allowHalfOpen = true;
        events.onSecure(secure);
      };
      this.#begin(socket, onSecure, onTlsError);
    };
    // The system takes the plain text before TLS writes to the same handle.
    if (socket.writableLength === 0) begin();
    else socket.write('', begin);
  }
}

/** Throws BAD_OPTION. */
function serverSide(options: StartTlsOptions): Begin {
  const cached = serverOptions.get(options);
  const resolved = cached ?? resolveServerOptions(options);
  if (cached === undefined) serverOptions.set(options, resolved);
  return (socket, onSecure, fail) => {
    const onPreamble = (): void => {
      // A server of its own: the events of a shared one do not say of which socket they are.
      const server = createServer(resolved);
      server.once('secureConnection', (secure) => openUnlessDestroyed(secure, onSecure));
      server.once('tlsClientError', fail);
      server.emit('connection', socket);
    };
    const preamble = { hasProxyHeader: false, tls: 'required' } as const;
    new PreambleReader(socket, preamble, {
      onPreamble,
      onTlsError: fail,
      onFault: (error) => fail(error as Error),
    });
  };
}

function resolveServerOptions({ handshakeTimeout: _, ...tls }: StartTlsOptions): TlsOptions {
  const { server, contexts } = tlsHostOptions(tls);
  const hosts = new HostContexts();
  hosts.replace(contexts);
  return {
    ...server,
    SNICallback: hosts.sniCallback,
    ticketKeys: randomBytes(TICKET_KEY_BYTES),
  };
}

/** Throws BAD_OPTION. */
function clientSide({ handshakeTimeout: _, ...tls }: StartTlsOptions, address: string): Begin {
  const resolved = tlsClientOptions(tls, parseAddress(address, ['tcp', 'unix']));
  return (socket, onSecure, fail) => {
    const secure = connect({ ...resolved, socket });
    // A TLS socket passes on the errors of the socket below it, so there may be two.
    secure.on('error', fail);
    secure.once('secureConnect', () => {
      onSecure(secure);
      secure.off('error', fail);
    });
  };
}

function clientError(remoteAddress: string, cause: Error): Error {
  return gettyError(
    'CONNECT_FAILED',
    `cannot begin TLS with ${remoteAddress}: ${messageOf(cause).trim()}`,
    cause,
  );
}
