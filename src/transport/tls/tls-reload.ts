/** Replaces the certificates of a TLS server while it listens. */
import { statSync } from 'node:fs';
import type { Server } from 'node:tls';
import { gettyError, messageOf } from '../../core/errors.js';
import { badOption, checkObject } from '../../core/options.js';
import { startInterval } from '../../core/timers.js';
import { warn } from '../../core/warning.js';
import { checkTlsNames } from '../option-names.js';
import type { Listener, TlsOptions } from '../types.js';
import { isPemPath } from './pem.js';
import { type HostContexts, tlsHostOptions } from './tls-hosts.js';
import { requiresClientCertificate } from './tls-options.js';

/**
 * `listener` with reloadTls(), and with the periodic reload of TlsOptions.reloadPeriod. `server` is
 * a TLS server, and `hosts` has its certificates by name. `options` are those with which it was
 * created; reloadTls() replaces the given ones, and reads all files again.
 */
export function withTlsReload(
  listener: Listener,
  server: Server,
  hosts: HostContexts,
  options: TlsOptions = {},
): Listener {
  let current = options;
  const reload = (given: TlsOptions): void => {
    checkObject('tls', given);
    checkTlsNames(given);
    const next = { ...current, ...given };
    const { server: context, contexts } = tlsHostOptions(next);
    const { requestCert } = context;
    // setSecureContext() does not change whether Node.js requests client certificates.
    if (requestCert !== requiresClientCertificate(current)) {
      throw badOption(
        'tls.clientCertificate',
        given.clientCertificate,
        `${requestCert ? '"none"' : '"required"'}, which a reload cannot change`,
      );
    }
    const allowsPlain = current.allowPlain ?? false;
    if ((next.allowPlain ?? false) !== allowsPlain)
      throw badOption(
        'tls.allowPlain',
        given.allowPlain,
        `${allowsPlain}, which a reload cannot change`,
      );
    server.setSecureContext(context);
    hosts.replace(contexts);
    current = next;
    files.hasChanged();
  };
  const files = new TlsFiles(() => current);
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
  files: TlsFiles,
  reload: (given: TlsOptions) => void,
  address: string,
): void {
  if (!files.hasChanged()) return;
  try {
    reload({});
  } catch (error) {
    warn(
      gettyError(
        'BAD_OPTION',
        `the changed TLS files of ${address} are not used: ${messageOf(error)}`,
        error,
      ),
    );
  }
}

/** The files of a server's TLS options, and their state at the last check. */
class TlsFiles {
  readonly #options: () => TlsOptions;
  /** The result of #readState(). */
  #state: string;

  constructor(options: () => TlsOptions) {
    this.#options = options;
    this.#state = this.#readState();
  }

  /**
   * Whether a file has changed since the last call. While a file is missing the result is false,
   * because the file is being replaced.
   */
  hasChanged(): boolean {
    const before = this.#state;
    this.#state = this.#readState() || before;
    return this.#state !== before;
  }

  /** Inode, size and modification time of each file. Empty if a file is missing. */
  #readState(): string {
    const { cert, key, ca, hosts = {} } = this.#options();
    try {
      return [cert, key, ca, ...Object.values(hosts).flatMap((host) => [host.cert, host.key])]
        .filter(isPemPath)
        .map((path) => statSync(path))
        .map(({ ino, size, mtimeMs }) => `${ino} ${size} ${mtimeMs}`)
        .join(', ');
    } catch {
      return '';
    }
  }
}
