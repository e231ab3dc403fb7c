/** Converts TlsOptions to the options of node:tls and node:https. */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import {
  type ConnectionOptions,
  checkServerIdentity,
  createSecureContext,
  DEFAULT_CIPHERS,
  type PeerCertificate as NodeCertificate,
  type TlsOptions as NodeTlsOptions,
  type SecureContextOptions,
} from 'node:tls';
import { messageOf } from '../../core/errors.js';
import { badOption, badSecret, checkNumber } from '../../core/options.js';
import { LONGEST_TIMER } from '../../core/timers.js';
import { type Address, withoutZone } from '../address.js';
import { checkTlsNames } from '../option-names.js';
import type { TlsOptions } from '../types.js';
import { checkCertificates, checkPrivateKey, readPem } from './pem.js';

const MIN_VERSIONS = ['TLSv1.2', 'TLSv1.3'];
/**
 * The groups for the key exchange. The other groups of OpenSSL have costs that a peer can use: one
 * handshake with ffdhe8192 takes 100 ms. The first element is for OpenSSL 3.5 and later.
 */
const GROUPS = ['X25519MLKEM768:X25519:P-256:P-384', 'X25519:P-256:P-384'] as const;
/** The name that Node.js gives the group P-521. */
const P521 = 'secp521r1';
let supportedGroups: string | undefined;

/**
 * The options that servers and clients have in common. `name`: of the option that has the
 * certificate, for errors. Throws BAD_OPTION.
 */
export function contextOptions(options: TlsOptions, name = 'tls'): SecureContextOptions {
  const { minVersion = 'TLSv1.2', passphrase, reloadPeriod = 0 } = options;
  checkNumber('tls.reloadPeriod', reloadPeriod, 0, LONGEST_TIMER);
  if (!MIN_VERSIONS.includes(minVersion))
    throw badOption(
      'tls.minVersion',
      minVersion,
      MIN_VERSIONS.map((version) => JSON.stringify(version)).join(' or '),
    );
  // Only the type: the value is a secret.
  if (passphrase !== undefined && typeof passphrase !== 'string')
    throw badSecret(`${name}.passphrase`, passphrase, 'a string');
  if ((options.cert === undefined) !== (options.key === undefined))
    throw badOption(name, options, 'a cert and a key, or neither');
  const cert = readPem(`${name}.cert`, options.cert, checkCertificates);
  const context = {
    cert,
    ecdhCurve: groupsFor(cert),
    // In TLS 1.2 a server chooses the size of the group of DHE.
    ciphers: `${DEFAULT_CIPHERS}:!DHE`,
    key: readPem(`${name}.key`, options.key, (pem) => checkPrivateKey(pem, passphrase)),
    ca: readPem('tls.ca', options.ca, checkCertificates),
    passphrase,
    minVersion,
  };
  try {
    createSecureContext(context);
  } catch (error) {
    throw badOption(name, options, `a certificate and its key: ${messageOf(error)}`);
  }
  return context;
}

/** `cert`: TLS 1.2 uses a certificate only if its curve is among the groups. */
function groupsFor(cert: Buffer | string | undefined): string {
  supportedGroups ??= GROUPS.find(isSupported) ?? GROUPS[1];
  const curve = cert && new X509Certificate(cert).publicKey.asymmetricKeyDetails?.namedCurve;
  return curve === P521 ? `${supportedGroups}:P-521` : supportedGroups;
}

function isSupported(groups: string): boolean {
  try {
    createSecureContext({ ecdhCurve: groups });
    return true;
  } catch {
    return false;
  }
}

/** Whether a client must present a certificate. Throws BAD_OPTION. */
export function requiresClientCertificate({
  ca,
  clientCertificate = ca === undefined ? 'none' : 'required',
}: TlsOptions): boolean {
  if (!['none', 'required'].includes(clientCertificate))
    throw badOption('tls.clientCertificate', clientCertificate, '"none" or "required"');
  const isRequired = clientCertificate === 'required';
  // Without `ca` Node.js would accept every certificate that a public CA has signed.
  if (isRequired && ca === undefined)
    throw badOption('tls.ca', undefined, 'the CA whose client certificates are accepted');
  return isRequired;
}

/** The options of a TLS or HTTPS server of Node.js. Throws BAD_OPTION. */
export function tlsServerOptions(options: TlsOptions | undefined): NodeTlsOptions {
  checkTlsNames(options);
  if (options?.cert === undefined || options.key === undefined)
    throw badOption('tls', options, 'a cert and a key: a TLS server needs both');
  if (options.allowPlain !== undefined && typeof options.allowPlain !== 'boolean')
    throw badOption('tls.allowPlain', options.allowPlain, 'true or false');
  const isRequired = requiresClientCertificate(options);
  return {
    ...contextOptions(options),
    requestCert: isRequired,
    rejectUnauthorized: isRequired,
    // HandshakeTracker has the deadline.
    handshakeTimeout: LONGEST_TIMER,
  };
}

/**
 * The options of a TLS or HTTPS connection of Node.js, which verifies the server's certificate.
 * Throws BAD_OPTION.
 */
export function tlsClientOptions(
  options: TlsOptions = {},
  { host }: Address,
): SecureContextOptions & Pick<ConnectionOptions, 'servername' | 'checkServerIdentity'> {
  checkTlsNames(options);
  const { serverName } = options;
  if (serverName !== undefined && (typeof serverName !== 'string' || serverName === '')) {
    throw badOption('tls.serverName', serverName, 'a name or an IP address');
  }
  const name = serverName ?? (withoutZone(host) || 'localhost');
  return {
    ...contextOptions(options),
    // SNI cannot contain an IP address (RFC 6066, section 3). A certificate can.
    servername: isIP(name) ? '' : name,
    checkServerIdentity: (_, certificate) => checkName(name, certificate),
  };
}

/** An error if the certificate is not for `name`, which is a host name or an IP address. */
function checkName(name: string, certificate: NodeCertificate): Error | undefined {
  const error = checkServerIdentity(name, certificate);
  if (error === undefined || isIP(name) !== 6) return error;
  // Node.js 22.23, and some releases of 24 and 26, match no IPv6 address:
  // https://github.com/nodejs/node/issues/64144
  return new X509Certificate(certificate.raw).checkIP(name) === undefined ? error : undefined;
}
