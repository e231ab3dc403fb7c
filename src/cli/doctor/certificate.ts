/** Reads the certificate of a server, whether it is trusted or not. */
import {
  checkServerIdentity,
  connect,
  type PeerCertificate,
  type ConnectionOptions as TlsConnection,
} from 'node:tls';
import { within } from '../../core/timers.js';
import {
  type ConnectionOptions,
  DEFAULT_TIMEOUT,
  tlsOptions,
} from '../target/connection-options.js';
import { type Check, failed, ok, warning } from './check.js';

const DAY = 86_400_000;
/** Days before the end of a certificate from which on it is a warning. */
const WARNING_DAYS = 14;

/** Checks the names and the dates of the certificate of `address`. */
export async function checkCertificate(
  address: string,
  options: ConnectionOptions,
  now = Date.now(),
): Promise<Check> {
  const { hostname, port } = new URL(address.replace(/^[a-z]+:/, 'https:'));
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const certificate = await certificateOf(host, Number(port || 443), options);
  if (certificate === undefined)
    return failed('certificate', 'the server has shown none', 'is it a TLS server?');
  return judge(certificate, options.serverName ?? host, now);
}

/** The check of one certificate. `host`: the name that it must have. `now`: ms since the epoch. */
export function judge(certificate: PeerCertificate, host: string, now: number): Check {
  const names = certificate.subjectaltname ?? `CN:${certificate.subject?.CN ?? 'none'}`;
  const until = Date.parse(certificate.valid_to);
  const days = Math.floor((until - now) / DAY);
  const detail = `for ${names}, until ${new Date(until).toISOString().slice(0, 10)}`;
  const mismatch = checkServerIdentity(host, certificate);
  if (mismatch !== undefined)
    return failed(
      'certificate',
      detail,
      `it is not for ${host}: use one of its names, or --server-name`,
    );
  if (now > until) return failed('certificate', detail, 'it has expired: renew it on the server');
  if (now < Date.parse(certificate.valid_from))
    return failed(
      'certificate',
      detail,
      'it is not valid yet: is the clock of this machine right?',
    );
  if (days < WARNING_DAYS) return warning('certificate', detail, `renew it within ${days} days`);
  return ok('certificate', detail);
}

async function certificateOf(
  host: string,
  port: number,
  options: ConnectionOptions,
): Promise<PeerCertificate | undefined> {
  const { ca, cert, key } = tlsOptions(options);
  const settings: TlsConnection = {
    host,
    port,
    servername: options.serverName ?? (/^[\d.]+$|:/.test(host) ? undefined : host),
    ca: ca as Buffer | undefined,
    cert: cert as Buffer | undefined,
    key: key as Buffer | undefined,
    // The certificate is only read, and no data is sent.
    rejectUnauthorized: false,
  };
  const socket = connect(settings);
  try {
    const read = new Promise<PeerCertificate | undefined>((resolve) => {
      socket.once('secureConnect', () => resolve(socket.getPeerCertificate()));
      socket.once('error', () => resolve(undefined));
    });
    return await within(options.timeout ?? DEFAULT_TIMEOUT, read, () => new Error('timed out'));
  } catch {
    return undefined;
  } finally {
    socket.on('error', () => {});
    socket.destroy();
  }
}
