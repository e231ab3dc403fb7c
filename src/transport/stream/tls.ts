/** TLS over TCP. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { type AddressInfo, isIP } from 'node:net';
import {
  type ConnectionOptions,
  checkServerIdentity,
  connect,
  createSecureContext,
  createServer,
  type PeerCertificate as NodeCertificate,
  type Server as NodeServer,
  type TlsOptions as NodeTlsOptions,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls';
import { gettyError, messageOf } from '../../core/errors.js';
import { badOption, checkNumber } from '../../core/options.js';
import { LONGEST_TIMER, startInterval } from '../../core/timers.js';
import { warn } from '../../core/warning.js';
import { type Address, formatAddress, withoutZone } from '../address.js';
import { defaultMaxSessions } from '../descriptors.js';
import { checkTlsNames } from '../option-names.js';
import type { Listener, Peer, PeerCertificate, TlsOptions, Transport } from '../types.js';
import { HandshakeTracker } from './handshake-tracker.js';
import { dialled, guardedOpen, listenWith, SocketConnection } from './socket.js';
import { SocketPeer } from './tcp.js';

const MIN_VERSIONS = ['TLSv1.2', 'TLSv1.3'];

/**
 * What both sides give Node. Throws BAD_OPTION for a file, certificate, key or password that is no
 * good.
 */
function contextOptions(options: TlsOptions): SecureContextOptions {
  checkTlsNames(options);
  const { minVersion = 'TLSv1.2', passphrase, reloadPeriod = 0 } = options;
  checkNumber('tls.reloadPeriod', reloadPeriod, 0, LONGEST_TIMER);
  if (!MIN_VERSIONS.includes(minVersion))
    throw badOption(
      'tls.minVersion',
      minVersion,
      MIN_VERSIONS.map((version) => JSON.stringify(version)).join(' or '),
    );
  // Of a secret no more than its type is shown.
  if (passphrase !== undefined && typeof passphrase !== 'string')
    throw badOption('tls.passphrase', typeof passphrase, 'a string');
  if ((options.cert === undefined) !== (options.key === undefined))
    throw badOption('tls', options, 'a cert and a key, or neither');
  const context = {
    cert: pem('cert', options.cert, checkCertificates),
    key: pem('key', options.key, (bytes) => checkKey(bytes, passphrase)),
    ca: pem('ca', options.ca, checkCertificates),
    passphrase,
    minVersion,
  };
  try {
    createSecureContext(context);
  } catch (error) {
    throw badOption(
      'tls',
      options,
      `a certificate and a key that fit each other: ${messageOf(error)}`,
    );
  }
  return context;
}

/**
 * The codes with which Node.js and OpenSSL say that a key is encrypted and a password is missing.
 */
const NEEDS_PASSPHRASE: readonly unknown[] = [
  'ERR_MISSING_PASSPHRASE',
  'ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED',
];

/**
 * Throws unless it is a private key in PEM that the password opens. Only OpenSSL knows: a comment
 * may hold any word.
 */
function checkKey(bytes: string | Buffer, passphrase: string | undefined): void {
  try {
    createPrivateKey({ key: bytes, passphrase });
  } catch (error) {
    const isLocked =
      passphrase === undefined && NEEDS_PASSPHRASE.includes((error as NodeJS.ErrnoException).code);
    throw isLocked ? new Error('it is locked, and tls.passphrase is not given') : error;
  }
}

/**
 * Throws unless it is one or more certificates in PEM, among which other things may stand. Node.js
 * takes a CA without a certificate, and of several certificates only those before the first that is
 * broken.
 */
function checkCertificates(bytes: string | Buffer): void {
  const blocks = String(bytes)
    .split(/^(?=-----BEGIN )/m)
    .filter((block) => /^-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/.test(block));
  if (blocks.length === 0) throw new Error('it holds no certificate');
  for (const block of blocks) new X509Certificate(block);
}

/** Text that may be a key in another form than PEM, rather than a path. */
const LIKE_A_SECRET = /\n|^[\w+/=-]{100,}$/;

/**
 * PEM text or bytes as they are; any other text is the path of a file. `parse` throws when it is
 * not what it should be.
 */
function pem(
  name: string,
  given: string | Buffer | undefined,
  parse: (bytes: string | Buffer) => unknown,
): string | Buffer | undefined {
  const expected = 'PEM text or bytes, or the path of a PEM file';
  if (given === undefined) return undefined;
  if (typeof given !== 'string' && !Buffer.isBuffer(given))
    throw badOption(`tls.${name}`, given, expected);
  const isPath = typeof given === 'string' && !given.includes('-----BEGIN ');
  const secret = isPath && LIKE_A_SECRET.test(given);
  try {
    const bytes = isPath ? readFileSync(given) : given;
    if (!bytes.includes('-----BEGIN ')) throw new Error('it is no PEM');
    parse(bytes);
    return bytes;
  } catch (error) {
    // OpenSSL's words name no secret, but those of the file system repeat the path.
    const why = secret ? 'it is no PEM, and no file' : messageOf(error);
    throw badOption(
      `tls.${name}`,
      isPath && !secret ? given : 'text or bytes',
      `${expected}, that can be read: ${why}`,
    );
  }
}

/** Whether clients have to show a certificate. Throws BAD_OPTION. */
function wantsCertificates({
  ca,
  clientCertificate = ca === undefined ? 'none' : 'required',
}: TlsOptions): boolean {
  if (!['none', 'required'].includes(clientCertificate))
    throw badOption('tls.clientCertificate', clientCertificate, '"none" or "required"');
  const required = clientCertificate === 'required';
  // Without a CA of ours every certificate that any public authority has ever signed would do.
  if (required && ca === undefined)
    throw badOption('tls.ca', undefined, 'the CA whose client certificates are accepted');
  return required;
}

/** Options for a TLS or HTTPS server of Node. Throws BAD_OPTION. */
export function tlsServerOptions(options: TlsOptions | undefined): NodeTlsOptions {
  if (options?.cert === undefined || options.key === undefined)
    throw badOption('tls', options, 'a cert and a key: a TLS server needs both');
  const required = wantsCertificates(options);
  // HandshakeTracker has the deadline.
  return {
    ...contextOptions(options),
    requestCert: required,
    rejectUnauthorized: required,
    handshakeTimeout: LONGEST_TIMER,
  };
}

/**
 * Options for a TLS or HTTPS connection of Node; the server's certificate is verified. Throws
 * BAD_OPTION.
 */
export function tlsClientOptions(
  options: TlsOptions = {},
  { host }: Address,
): SecureContextOptions & Pick<ConnectionOptions, 'servername' | 'checkServerIdentity'> {
  const { serverName } = options;
  if (serverName !== undefined && (typeof serverName !== 'string' || serverName === '')) {
    throw badOption('tls.serverName', serverName, 'a name or an IP address');
  }
  const name = serverName ?? (withoutZone(host) || 'localhost');
  // SNI has no IP addresses; certificates do.
  return {
    ...contextOptions(options),
    servername: isIP(name) ? '' : name,
    checkServerIdentity: (_, certificate) => checkName(name, certificate),
  };
}

/** The error of a certificate that is not for `name`, a host name or an IP address. */
function checkName(name: string, certificate: NodeCertificate): Error | undefined {
  const error = checkServerIdentity(name, certificate);
  if (error === undefined || isIP(name) !== 6) return error;
  // Node.js 22.23, and some releases of 24 and 26, match no IPv6 address:
  // https://github.com/nodejs/node/issues/64144
  return new X509Certificate(certificate.raw).checkIP(name) === undefined ? error : undefined;
}

/** A listener that waits for no handshake when it closes. */
export function closingHandshakes(listener: Listener, handshakes: HandshakeTracker): Listener {
  return {
    ...listener,
    close() {
      const closed = listener.close();
      handshakes.stop();
      return closed;
    },
  };
}

/**
 * The listener of a TLS or HTTPS server: its certificate can be replaced; what is not given anew is
 * as in `options`, read again where it is a file.
 */
export function reloadable(
  listener: Listener,
  server: NodeServer,
  options: TlsOptions = {},
): Listener {
  let current = options;
  const reload = (given: TlsOptions): void => {
    if (typeof given !== 'object' || given === null)
      throw badOption('reloadTls', given, 'an object');
    const next = { ...current, ...given };
    const { requestCert, ...context } = tlsServerOptions(next);
    // Node asks for certificates as it did at the start, whatever the context says.
    if (requestCert !== wantsCertificates(current)) {
      throw badOption(
        'tls.clientCertificate',
        given.clientCertificate,
        `what it was at the start: ${requestCert ? '"none"' : '"required"'}`,
      );
    }
    server.setSecureContext(context);
    current = next;
    files.changed();
  };
  const files = new WatchedFiles(() => current);
  const { reloadPeriod = 0 } = options;
  const timer =
    reloadPeriod === 0
      ? undefined
      : startInterval(() => reloadChanged(files, reload, listener.address), reloadPeriod).unref();
  return {
    ...listener,
    reloadTls: reload,
    close() {
      clearInterval(timer);
      return listener.close();
    },
  };
}

function reloadChanged(
  files: WatchedFiles,
  reload: (given: TlsOptions) => void,
  address: string,
): void {
  if (!files.changed()) return;
  try {
    reload({});
  } catch (error) {
    warn(
      gettyError(
        'BAD_OPTION',
        `the changed files of ${address} are not used: ${messageOf(error)}`,
        error,
      ),
    );
  }
}

/** The files of a certificate, as they were when they were last looked at. */
class WatchedFiles {
  readonly #options: () => TlsOptions;
  #seen: string;

  constructor(options: () => TlsOptions) {
    this.#options = options;
    this.#seen = this.#look();
  }

  /**
   * Whether they have changed since the last call. A file that cannot be looked at has not: it is
   * being replaced.
   */
  changed(): boolean {
    const before = this.#seen;
    this.#seen = this.#look() || before;
    return this.#seen !== before;
  }

  /** Inode, size and time of change of each; empty when one of them is not there. */
  #look(): string {
    const { cert, key, ca } = this.#options();
    try {
      const paths = [cert, key, ca].filter(
        (given) => typeof given === 'string' && !given.includes('-----BEGIN '),
      );
      return paths
        .map((path) => statSync(path as string))
        .map(({ ino, size, mtimeMs }) => `${ino} ${size} ${mtimeMs}`)
        .join(', ');
    } catch {
      return '';
    }
  }
}

/** The peer of a TLS socket. */
export class TlsPeer extends SocketPeer {
  readonly #socket: TLSSocket;

  constructor(scheme: string, socket: TLSSocket) {
    super(scheme, socket);
    this.#socket = socket;
  }

  get certificate(): PeerCertificate | undefined {
    const shown = this.#socket.authorized ? this.#socket.getPeerCertificate() : undefined;
    if (shown?.fingerprint256 === undefined) return undefined;
    const { subject, subjectaltname, fingerprint256, serialNumber } = shown;
    return {
      commonName: [subject?.CN ?? ''].flat().join(', '),
      altNames: subjectaltname?.split(', ') ?? [],
      fingerprint: fingerprint256,
      serialNumber,
    };
  }
}

export const tls: Transport = {
  get maxSessions() {
    return defaultMaxSessions();
  },

  async listen(address, options, accept) {
    const { admission, handshakeTimeout } = options;
    const server = createServer(tlsServerOptions(options.tls));
    const handshakes = new HandshakeTracker(server, true, {
      scheme: 'tls',
      handshakeTimeout,
      admission,
    });
    const peerOf = (socket: TLSSocket): Peer => new TlsPeer('tls', socket);
    const open = (socket: TLSSocket): void => {
      const handshake = handshakes.find(socket);
      if (handshake !== undefined) handshakes.end(handshake);
      accept(new SocketConnection(socket, peerOf(socket)));
    };
    server.on('secureConnection', guardedOpen(open, peerOf, admission));
    const at = { port: address.port, host: address.host || undefined, backlog: options.backlog };
    const listener = await listenWith(server, at, address, () =>
      formatAddress('tls', address.host, (server.address() as AddressInfo).port),
    );
    return reloadable(closingHandshakes(listener, handshakes), server, options.tls);
  },

  async dial(address, options, signal) {
    const host = address.host || 'localhost';
    const how: ConnectionOptions & { allowHalfOpen: boolean } = {
      ...tlsClientOptions(options.tls, address),
      host,
      port: address.port,
      allowHalfOpen: true,
    };
    const socket = connect(how);
    await dialled(socket, 'secureConnect', address, signal);
    return new SocketConnection(socket, new TlsPeer('tls', socket));
  },
};
