/** The name that a DNS registry resolves. */
import { isIP } from 'node:net';
import { gettyError } from '../../core/errors.js';
import { show } from '../../core/options.js';

/** The name of A and AAAA records, with the port of all their nodes; or that of SRV records. */
export interface DnsName {
  /** Without a dot at the end. */
  readonly host: string;
  /** Undefined: SRV records have the port. */
  readonly port: number | undefined;
  /** Whether the name ended with a dot. Then the search domains are not used. */
  readonly isAbsolute: boolean;
}

const MAX_NAME = 253;
const HOST_NAME =
  /^[a-z\d_](?:[a-z\d_-]{0,61}[a-z\d_])?(?:\.[a-z\d_](?:[a-z\d_-]{0,61}[a-z\d_])?)*$/i;
const SERVICE_NAME = /^_[a-z\d-]{1,62}\._[a-z\d-]{1,62}\../i;
const EXPECTED = 'expected host:port, or a name of SRV records such as _getty._tcp.example.org';

/** Whether the text can be a name in DNS, without a dot at the end. An IP address is none. */
export function isHostName(text: string): boolean {
  return text.length <= MAX_NAME && HOST_NAME.test(text) && !/(?:^|\.)\d+$/.test(text);
}

/** Throws BAD_ADDRESS. */
export function parseDnsName(text: unknown): DnsName {
  const given = typeof text === 'string' ? text : '';
  const [, name = '', digits] = /^([^:]*?)(?::(\d{1,5}))?$/.exec(given) ?? [];
  const host = name.replace(/\.$/, '');
  const isAbsolute = name !== host;
  const port = digits === undefined ? undefined : Number(digits);
  if (isIP(given.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')) !== 0)
    throw badName(text, `${EXPECTED}; an address needs no DNS, use staticRegistry()`);
  if (!isHostName(host)) throw badName(text, EXPECTED);
  if (SERVICE_NAME.test(host)) {
    if (port !== undefined) throw badName(text, `${EXPECTED}; SRV records have the port`);
  } else if (port === undefined || port < 1 || port > 65535)
    throw badName(text, `${EXPECTED}, with a port from 1 to 65535`);
  return { host, port, isAbsolute };
}

/** A text with @, / or ? is perhaps a URL with a secret, and is not shown. */
function badName(given: unknown, expected: string): Error {
  const isHidden = typeof given === 'string' && /[@/?#%]/.test(given);
  return gettyError(
    'BAD_ADDRESS',
    `dns name: got ${isHidden ? 'a text that is no name' : show(given)}, ${expected}`,
  );
}
