/** The option `proxy` of a client. */
import { badSecret } from '../../core/options.js';
import type { Credentials } from '../address.js';
import { parseUrl } from '../websocket/url.js';

/** An HTTP proxy. */
export interface ProxyServer {
  readonly host: string;
  readonly port: number;
  readonly credentials: Credentials | undefined;
  /** The URL for messages: `***` stands for the user information. */
  readonly text: string;
}

const EXPECTED = 'the URL of an HTTP proxy: http://user:password@host:port';

/** Throws BAD_OPTION, whose message has no user information. */
export function parseProxyUrl(given: unknown): ProxyServer {
  const invalid = (): Error => badSecret('proxy', given, EXPECTED);
  const url = typeof given === 'string' && /^http:\/\//i.test(given) ? parseUrl(given) : undefined;
  if (url === undefined || url.hostname === '') throw invalid();
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') throw invalid();
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 80 : Number(url.port),
    credentials: credentialsOf(url, invalid),
    text: `http://${url.username || url.password ? '***@' : ''}${url.host}`,
  };
}

/** RFC 7617 forbids a colon in the user, and control characters in both. */
function credentialsOf({ username, password }: URL, invalid: () => Error): Credentials | undefined {
  if (username === '' && password === '') return undefined;
  let decoded: Credentials;
  try {
    decoded = { user: decodeURIComponent(username), password: decodeURIComponent(password) };
  } catch {
    throw invalid();
  }
  if (decoded.user.includes(':') || /\p{Cc}/u.test(decoded.user + decoded.password))
    throw invalid();
  return decoded;
}
