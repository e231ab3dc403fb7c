/** TLS over TCP. */
import { readFileSync } from 'node:fs';
import { type AddressInfo, isIP } from 'node:net';
import { type ConnectionOptions, connect, createSecureContext, createServer, type SecureContextOptions, type TlsOptions as NodeTlsOptions } from 'node:tls';
import { messageOf } from '../errors.js';
import { badOption } from '../options.js';
import { type Address, formatAddress } from './address.js';
import { dialled, listenWith, SocketConnection } from './socket.js';
import { peerOf } from './tcp.js';
import type { Listener, TlsOptions, Transport } from './types.js';

const MIN_VERSIONS = ['TLSv1.2', 'TLSv1.3'];

/** What both sides give Node. Throws BAD_OPTION for a file, certificate, key or password that is no good. */
function contextOptions(options: TlsOptions): SecureContextOptions {
  const { minVersion = 'TLSv1.2', passphrase } = options;
  if (!MIN_VERSIONS.includes(minVersion)) throw badOption('tls.minVersion', minVersion, MIN_VERSIONS.map((version) => JSON.stringify(version)).join(' or '));
  const context = { cert: pem('cert', options.cert), key: pem('key', options.key), ca: pem('ca', options.ca), passphrase, minVersion };
  try {
    createSecureContext(context);
  } catch (error) {
    // OpenSSL's words name no secret.
    throw badOption('tls', { code: (error as NodeJS.ErrnoException).code }, `a certificate, key, password and CA that fit each other: ${messageOf(error)}`);
  }
  return context;
}

/** PEM text or bytes as they are; any other text is the path of a file. */
function pem(name: string, given: string | Buffer | undefined): string | Buffer | undefined {
  if (given === undefined || Buffer.isBuffer(given)) return given;
  if (typeof given !== 'string') throw badOption(`tls.${name}`, given, 'PEM text, or the path of a PEM file');
  if (given.includes('-----BEGIN ')) return given;
  try {
    return readFileSync(given);
  } catch (error) {
    throw badOption(`tls.${name}`, given, `PEM text, or the path of a PEM file that can be read: ${messageOf(error)}`);
  }
}

/** Options for a TLS or HTTPS server of Node. Throws BAD_OPTION. */
export function tlsServerOptions(options: TlsOptions | undefined, handshakeTimeout: number): NodeTlsOptions {
  if (options?.cert === undefined || options.key === undefined) throw badOption('tls', options, 'a cert and a key: a TLS server needs both');
  const { clientCertificate = options.ca === undefined ? 'none' : 'required' } = options;
  if (!['none', 'required'].includes(clientCertificate)) throw badOption('tls.clientCertificate', clientCertificate, '"none" or "required"');
  const required = clientCertificate === 'required';
  // Without a CA of ours every certificate that any public authority has ever signed would do.
  if (required && options.ca === undefined) throw badOption('tls.ca', undefined, 'the CA whose client certificates are accepted');
  return { ...contextOptions(options), requestCert: required, rejectUnauthorized: required, handshakeTimeout };
}

/** Options for a TLS or HTTPS connection of Node; the server's certificate is verified. Throws BAD_OPTION. */
export function tlsClientOptions(options: TlsOptions = {}, { host }: Address): SecureContextOptions & { servername: string } {
  const name = options.serverName ?? (isIP(host) ? '' : host);
  return { ...contextOptions(options), servername: name };
}

/** The listener of a server whose certificate can be replaced. */
export function reloadable(listener: Listener, server: { setSecureContext(options: SecureContextOptions): void }): Listener {
  return { ...listener, reloadTls: (options) => server.setSecureContext(contextOptions(options)) };
}

export const tls: Transport = {
  async listen(address, options, accept) {
    const server = createServer(tlsServerOptions(options.tls, options.handshakeTimeout), (socket) => {
      // Not sooner: a peer that ends within the handshake is gone, and is not waited for until the deadline.
      socket.allowHalfOpen = true;
      accept(new SocketConnection(socket, peerOf('tls', socket)));
    });
    const at = { port: address.port, host: address.host || undefined, backlog: options.backlog };
    const listener = await listenWith(server, at, address, () => formatAddress('tls', address.host, (server.address() as AddressInfo).port));
    return reloadable(listener, server);
  },

  async dial(address, options, signal) {
    const host = address.host || 'localhost';
    const how: ConnectionOptions & { allowHalfOpen: boolean } = { ...tlsClientOptions(options.tls, address), host, port: address.port, allowHalfOpen: true };
    const socket = connect(how);
    await dialled(socket, 'secureConnect', address, signal);
    return new SocketConnection(socket, peerOf('tls', socket));
  },
};
