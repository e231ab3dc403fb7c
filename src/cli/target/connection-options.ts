/** The options of commands that connect to a server. */
import { messageOf } from '../../core/errors.js';
import { bearer, type RpcClientOptions } from '../../rpc/index.js';
import type { TlsOptions } from '../../transport/index.js';
import { UsageError } from '../failure.js';
import { readLimited } from '../limited-file.js';
import { parseDuration } from '../option-values.js';

/** The files are in PEM. */
export interface TlsFileOptions {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly serverName?: string | undefined;
}

export interface ConnectionOptions extends TlsFileOptions {
  /** Milliseconds for the connection, and for each call. Default: DEFAULT_TIMEOUT. */
  readonly timeout?: number | undefined;
  readonly token?: string | undefined;
}

/** A part of commander's Command, so that this file does not depend on its version. */
interface OptionTarget {
  option(flags: string, description: string): unknown;
  option<T>(flags: string, description: string, parse: (text: string) => T, value?: T): unknown;
}

/** Milliseconds. */
export const DEFAULT_TIMEOUT = 5_000;

/** The most bytes of a file of --ca, --cert and --key. */
const MAX_PEM_BYTES = 2 ** 24;

/** Adds the options of ConnectionOptions to a command. */
export function addConnectionOptions(command: OptionTarget): void {
  command.option(
    '--timeout <duration>',
    'how long a connection and a call may take (default: 5s)',
    (text) => parseDuration('--timeout', text),
  );
  command.option('--token <token>', 'a bearer token; the default is GETTY_TOKEN');
  addTlsOptions(command);
}

/** Adds the options of TlsFileOptions to a command. */
export function addTlsOptions(command: OptionTarget): void {
  command.option('--ca <file>', 'the certificates of the CAs to trust, for tls:// and wss://');
  command.option('--cert <file>', 'the certificate of this client');
  command.option('--key <file>', 'the private key of --cert');
  command.option('--server-name <name>', 'the name in the certificate of the server');
}

/** The options of a client for one address. Throws UsageError if a file cannot be read. */
export function clientOptions(
  address: string,
  options: ConnectionOptions,
  environment: Readonly<Record<string, string | undefined>>,
): RpcClientOptions {
  const { timeout = DEFAULT_TIMEOUT } = options;
  const token = options.token ?? environment.GETTY_TOKEN;
  return {
    // Go servers exchange the bodies of calls if a client has several connections.
    connections: 1,
    reconnect: false,
    connectTimeout: timeout,
    timeout,
    drainTimeout: timeout,
    interceptors: token === undefined || token === '' ? [] : [bearer(token)],
    ...(isEncrypted(address) && { tls: tlsOptions(options) }),
  };
}

export function isEncrypted(address: string): boolean {
  return /^(?:tls|wss):/.test(address);
}

/** Throws UsageError if a file cannot be read. */
export function tlsOptions({ ca, cert, key, serverName }: TlsFileOptions): TlsOptions {
  return {
    ca: contentOf('--ca', ca),
    cert: contentOf('--cert', cert),
    key: contentOf('--key', key),
    serverName,
  };
}

function contentOf(name: string, file: string | undefined): Buffer | undefined {
  if (file === undefined) return undefined;
  try {
    return readLimited(file, MAX_PEM_BYTES);
  } catch (error) {
    throw new UsageError(`${name}: the file cannot be read: ${messageOf(error)}`);
  }
}
