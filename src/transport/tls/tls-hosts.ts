/** The certificates of a TLS server by host name; see TlsOptions.hosts. */
import { isIP } from 'node:net';
import {
  createSecureContext,
  type TlsOptions as NodeTlsOptions,
  type SecureContext,
} from 'node:tls';
import { badOption, checkNames, checkObject } from '../../core/options.js';
import { TLS_IDENTITY_NAMES } from '../option-names.js';
import type { TlsOptions } from '../types.js';
import { contextOptions, tlsServerOptions } from './tls-options.js';

/** Labels of letters, digits, hyphens and underscores. The first one may be an asterisk. */
const HOST_NAME = /^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;

type SniCallback = (
  name: string,
  done: (error: Error | null, context?: SecureContext) => void,
) => void;

/** The certificates in the option `hosts`, by name in lower case. */
type ContextsByName = ReadonlyMap<string, SecureContext>;

export class HostContexts {
  #byName: ContextsByName = new Map();

  /** Passes on the certificate of the name, or undefined: the server then uses its own. */
  readonly sniCallback: SniCallback = (name, done) => {
    const lower = name.toLowerCase();
    done(null, this.#byName.get(lower) ?? this.#byName.get(lower.replace(/^[^.]+/, '*')));
  };

  replace(contexts: ContextsByName): void {
    this.#byName = contexts;
  }
}

/** The options of a TLS server of Node.js, and the certificates of its hosts. Throws BAD_OPTION. */
export function tlsHostOptions(options: TlsOptions | undefined): {
  readonly server: NodeTlsOptions;
  readonly contexts: ContextsByName;
} {
  const server = tlsServerOptions(options);
  const { hosts = {}, ...others } = options ?? {};
  checkObject('tls.hosts', hosts);
  const contexts = new Map<string, SecureContext>();
  const groups = new Set(server.ecdhCurve?.split(':'));
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
    const context = contextOptions({ ...others, cert, key, passphrase }, option);
    contexts.set(lower, createSecureContext(context));
    for (const group of context.ecdhCurve?.split(':') ?? []) groups.add(group);
  }
  // Of the context of a name, a connection gets the certificates only.
  return { server: { ...server, ecdhCurve: [...groups].join(':') }, contexts };
}
