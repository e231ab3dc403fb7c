/**
 * Hides the secrets of URLs in errors, warnings, logs and `address` properties. The user
 * information, the query and the fragment of a URL may hold a password or a token; each of them is
 * shown as `***`.
 */
import { show } from './options.js';

const HIDDEN = '***';
const SCHEME = /^\s*([a-z][a-z0-9+.-]*):\/\//i;
const HOST = /^(?:\[[^\s[\]]*\]|[^\s:[\]]*)(?::\d*)?$/;

/**
 * A URL without its secrets: `ws://me:secret@host/path?token=1` becomes `ws://***@host/path?***`. A
 * URL without secrets is returned unchanged, and so is a value that is no string. In a text that is
 * no URL everything that may be a secret is hidden, and sometimes more.
 */
export function redactUrl<T>(given: T): T | string {
  return typeof given === 'string' ? redactText(given) : given;
}

function redactText(text: string): string {
  const [prefix = '', scheme] = SCHEME.exec(text) ?? [];
  const rest = text.slice(prefix.length);
  const [before = ''] = /^[^?#]*/.exec(rest) ?? [];
  const tail = before.length === rest.length ? '' : `${rest[before.length]}${HIDDEN}`;
  // The path of a Unix socket or of a file may hold an @, and has no user before it.
  if ((scheme === 'unix' || scheme === 'file') && /^[/@]/.test(before))
    return prefix + before + tail;
  const [authority = ''] = /^[^/]*/.exec(before) ?? [];
  const hosts = authority.lastIndexOf('@') + 1;
  // Registries have lists of hosts.
  const isUrl =
    prefix !== '' &&
    authority
      .slice(hosts)
      .split(',')
      .every((host) => HOST.test(host));
  // A password whose reserved characters are not percent-encoded ends at the last @ of the text.
  const end = isUrl ? hosts : rest.lastIndexOf('@') + 1;
  if (end > before.length) return prefix + HIDDEN;
  return prefix + (end > 0 ? `${HIDDEN}@` : '') + before.slice(end) + tail;
}

/** A value that should be a URL, for a message. */
export function showUrl(given: unknown): string {
  return show(redactUrl(given));
}
