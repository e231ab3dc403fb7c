/** Where the members of a cluster listen, as a user writes it. */
import { badOption } from '../../core/options.js';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  /** `http://host:port` or `https://host:port`, for messages. */
  readonly text: string;
}

const FORM = /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[^\s/:[\]@?#]+):(\d{1,5})\/?$/;
const EXPECTED = 'http://host:port, https://host:port, or a list of them';

/** Read endpoints; without a scheme they are as `secure` says. Throws BAD_OPTION, which repeats no password. */
export function parseEndpoints(given: string | readonly string[], secure: boolean): readonly Endpoint[] {
  const texts = typeof given === 'string' ? [given] : given;
  if (!Array.isArray(texts) || texts.length === 0) throw badOption('endpoints', given, EXPECTED);
  const endpoints = texts.map((text) => parseEndpoint(text, secure));
  if (endpoints.some((endpoint) => endpoint.secure !== endpoints[0]?.secure)) throw badOption('endpoints', given, 'all of them http, or all https');
  return endpoints;
}

function parseEndpoint(text: unknown, secureByDefault: boolean): Endpoint {
  if (typeof text === 'string' && text.includes('@')) {
    throw badOption(
      'endpoints',
      text.replace(/^([a-z]*:\/\/)?.*@/, '$1***@'),
      `${EXPECTED}; a user and a password are the options username and password`,
    );
  }
  const [, scheme, host = '', digits = ''] = (typeof text === 'string' ? FORM.exec(text) : null) ?? [];
  const port = Number(digits);
  if (host === '' || port < 1 || port > 65535) throw badOption('endpoints', text, EXPECTED);
  const secure = scheme === undefined ? secureByDefault : scheme === 'https';
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port, secure, text: `${secure ? 'https' : 'http'}://${host}:${port}` };
}
