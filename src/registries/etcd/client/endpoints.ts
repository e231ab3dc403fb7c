/** The addresses of a cluster's members, as a user writes them. */
import { badOption } from '../../../core/options.js';
import { redactUrl } from '../../../core/redact.js';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly isSecure: boolean;
  /** `http://host:port` or `https://host:port`, for messages. */
  readonly text: string;
  /** `text` without the zone of an IPv6 address, which a URL cannot have. */
  readonly origin: string;
}

const ENDPOINT =
  /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+(?:%[\w.~-]+)?\]|[^\s/:[\]@?#]+):(\d{1,5})\/?$/;
const EXPECTED = 'http://host:port, https://host:port, or a list of them';

/**
 * `isSecure`: whether an endpoint without a scheme is https. Throws BAD_OPTION, whose message hides
 * passwords.
 */
export function parseEndpoints(
  given: string | readonly string[],
  isSecure: boolean,
): readonly Endpoint[] {
  const texts = typeof given === 'string' ? [given] : given;
  if (!Array.isArray(texts) || texts.length === 0) throw badOption('endpoints', given, EXPECTED);
  const endpoints = texts.map((text) => parseEndpoint(text, isSecure));
  if (endpoints.some((endpoint) => endpoint.isSecure !== endpoints[0]?.isSecure))
    throw badOption('endpoints', given, 'all of them http, or all https');
  return endpoints;
}

function parseEndpoint(text: unknown, isSecureByDefault: boolean): Endpoint {
  if (typeof text === 'string' && text.includes('@')) {
    throw badOption(
      'endpoints',
      redactUrl(text),
      `${EXPECTED}; a user and a password are the options username and password`,
    );
  }
  const [, scheme, host = '', digits = ''] =
    (typeof text === 'string' ? ENDPOINT.exec(text) : null) ?? [];
  const port = Number(digits);
  if (host === '' || port < 1 || port > 65535)
    throw badOption('endpoints', redactUrl(text), EXPECTED);
  const isSecure = scheme === undefined ? isSecureByDefault : scheme === 'https';
  const url = `${isSecure ? 'https' : 'http'}://${host}:${port}`;
  return {
    host: host.replace(/^\[(.*)\]$/, '$1').replace(/%25(?=.)/, '%'),
    port,
    isSecure,
    text: url,
    origin: url.replace(/%[^\]]*/, ''),
  };
}
