/** Where the members of a cluster listen, as a user writes it. */
import { badOption } from '../../core/options.js';
import { redactUrl } from '../../core/redact.js';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  /** `http://host:port` or `https://host:port`, for messages. */
  readonly text: string;
  /** The same without the zone of an IPv6 address, which a URL cannot have. */
  readonly origin: string;
}

const FORM = /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+(?:%[\w.~-]+)?\]|[^\s/:[\]@?#]+):(\d{1,5})\/?$/;
const EXPECTED = 'http://host:port, https://host:port, or a list of them';

/**
 * Read endpoints; without a scheme they are as `secure` says. Throws BAD_OPTION, which repeats no
 * password.
 */
export function parseEndpoints(
  given: string | readonly string[],
  secure: boolean,
): readonly Endpoint[] {
  const texts = typeof given === 'string' ? [given] : given;
  if (!Array.isArray(texts) || texts.length === 0) throw badOption('endpoints', given, EXPECTED);
  const endpoints = texts.map((text) => parseEndpoint(text, secure));
  if (endpoints.some((endpoint) => endpoint.secure !== endpoints[0]?.secure))
    throw badOption('endpoints', given, 'all of them http, or all https');
  return endpoints;
}

function parseEndpoint(text: unknown, secureByDefault: boolean): Endpoint {
  if (typeof text === 'string' && text.includes('@')) {
    throw badOption(
      'endpoints',
      redactUrl(text),
      `${EXPECTED}; a user and a password are the options username and password`,
    );
  }
  const [, scheme, host = '', digits = ''] =
    (typeof text === 'string' ? FORM.exec(text) : null) ?? [];
  const port = Number(digits);
  if (host === '' || port < 1 || port > 65535)
    throw badOption('endpoints', redactUrl(text), EXPECTED);
  const secure = scheme === undefined ? secureByDefault : scheme === 'https';
  const url = `${secure ? 'https' : 'http'}://${host}:${port}`;
  return {
    host: host.replace(/^\[(.*)\]$/, '$1').replace(/%25(?=.)/, '%'),
    port,
    secure,
    text: url,
    origin: url.replace(/%[^\]]*/, ''),
  };
}
