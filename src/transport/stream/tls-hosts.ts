/** The certificates of a TLS server by host name; see TlsOptions.hosts. */
import { isIP } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { badOption, checkNames, checkObject } from '../../core/options.js';
import { TLS_IDENTITY_NAMES } from '../option-names.js';
import type { TlsOptions } from '../types.js';
import { contextOptions } from './tls-options.js';

/** Labels of letters, digits, hyphens and underscores. The first one may be an asterisk. */
const HOST_NAME = /^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;

type SniCallback = (
  name: string,
  done: (error: Error | null, context?: SecureContext) => void,
) => void;

export class HostContexts {
  #byName: ReadonlyMap<string, SecureContext> = new Map();

  /** Passes on the certificate of the name, or undefined: the server then uses its own. */
  readonly sniCallback: SniCallback = (name, done) => {
    const lower = name.toLowerCase();
    done(null, this.#byName.get(lower) ?? this.#byName.get(lower.replace(/^[^.]+/, '*')));
  };

  /** `contexts`: of readHosts(). */
  replace(contexts: ReadonlyMap<string, SecureContext>): void {
    this.#byName = contexts;
  }
}

/** The certificates in the option `hosts`, by name in lower case. Throws BAD_OPTION. */
export function readHosts({ hosts = {}, ...others }: TlsOptions): Map<string, SecureContext> {
  checkObject('tls.hosts', hosts);
  const contexts = new Map<string, SecureContext>();
  for (const [name, identity] of Object.entries(hosts)) {
    const lower = name.toLowerCase();
    if (!HOST_NAME.test(lower) || isIP(lower) !== 0)
      throw badOption('tls.hosts', name, 'host names such as a.example or *.b.example');
    const option = `tls.hosts[${JSON.stringify(name)}]`;
    checkObject(option, identity);
    checkNames(option, identity, TLS_IDENTITY_NAMES);
    const { cert, key, passphrase } = identity;
    if (cert === undefined || key === undefined)
      throw badOption(option, identity, 'a cert and a key');
    // `ca` and `minVersion` are those of the server: the context of a name replaces its own.
    const context = contextOptions({ ...others, cert, key, passphrase }, option);
    contexts.set(lower, createSecureContext(context));
  }
  return contexts;
}
