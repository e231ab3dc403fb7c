/** Validates the options of a WebSocket. */
import { callAsync, checkCallback } from '../../core/callbacks.js';
import { gettyError, messageOf } from '../../core/errors.js';
import { badOption, badSecret, checkNumber, isArray } from '../../core/options.js';
import { untilAborted } from '../../core/signals.js';
import { type Address, isPath } from '../address.js';
import { checkCompression } from '../session/session-options.js';
import type { WebSocketHeaders, WebSocketOptions } from '../types.js';
import { parseUrl } from './url.js';

/** The default of `websocket.maxCompressBytes`. */
export const MAX_COMPRESS_BYTES = 512 * 1024;
/** The largest header of a request or a response. */
export const MAX_HEADER_BYTES = 16 * 1024;
/** RFC 9110, section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110, section 5.5. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const BODY_HEADERS = ['content-length', 'transfer-encoding'];
/** Schemes that have no pages whose origin a browser sends. */
const SCHEMES_WITHOUT_ORIGIN = ['ws', 'wss', 'ftp', 'file', 'data', 'blob'];

/** Returns `options`. Throws BAD_OPTION. */
export function checkWebSocketOptions(options: WebSocketOptions = {}): WebSocketOptions {
  if (typeof options !== 'object' || options === null)
    throw badOption('websocket', options, 'an object');
  const {
    protocols = [],
    compression = 'none',
    maxCompressBytes = MAX_COMPRESS_BYTES,
    text = false,
  } = options;
  const { allowOrigin = [], allowHost = [], headers = {} } = options;
  if (
    !Array.isArray(protocols) ||
    !protocols.every((name) => typeof name === 'string' && TOKEN.test(name)) ||
    new Set(protocols).size < protocols.length
  ) {
    throw badOption('websocket.protocols', protocols, 'different names without spaces');
  }
  checkCompression(compression);
  if (compression === 'snappy')
    throw badOption(
      'websocket.compression',
      compression,
      "'none', 'deflate' or { deflate: level }",
    );
  checkNumber(
    'websocket.maxCompressBytes',
    maxCompressBytes,
    0,
    Number.POSITIVE_INFINITY,
    'integer',
  );
  if (typeof text !== 'boolean') throw badOption('websocket.text', text, 'true or false');
  if (
    typeof allowOrigin !== 'function' &&
    (!Array.isArray(allowOrigin) || !allowOrigin.every(isOrigin))
  ) {
    throw badOption(
      'websocket.allowOrigin',
      allowOrigin,
      'origins as browsers send them, such as https://example.org, or a function',
    );
  }
  if (allowHost !== 'any' && (!Array.isArray(allowHost) || !allowHost.every(isHostName))) {
    throw badOption(
      'websocket.allowHost',
      allowHost,
      "host names in lower case and without ports, such as game.example, or 'any'",
    );
  }
  if (typeof headers !== 'function') checkedHeaders(headers);
  checkHealth(options.health);
  return options;
}

/** Throws BAD_OPTION. */
function checkHealth(health: WebSocketOptions['health']): void {
  if (health === undefined) return;
  const isObject = typeof health === 'object' && health !== null;
  const path = isObject ? health.path : health;
  if (!isPath(path))
    throw badOption(
      isObject ? 'websocket.health.path' : 'websocket.health',
      path,
      'a path with a leading slash and no query, such as /healthz',
    );
  if (isObject) checkCallback('websocket.health.isHealthy', health.isHealthy);
}

/**
 * A browser can send this text as an Origin header. Origins of http and https have no pattern,
 * path, default port or capital letters. Other schemes are those of apps and extensions.
 */
function isOrigin(origin: unknown): boolean {
  if (typeof origin !== 'string') return false;
  const [, scheme = '', host = ''] = /^([a-z][a-z0-9+.-]*):\/\/([^\s/?#@*]+)$/.exec(origin) ?? [];
  if (host === '' || SCHEMES_WITHOUT_ORIGIN.includes(scheme)) return false;
  if (scheme !== 'http' && scheme !== 'https') return true;
  return parseUrl(origin)?.origin === origin;
}

/** A host name or an IP address as a URL has it. */
function isHostName(name: unknown): boolean {
  return (
    typeof name === 'string' &&
    name !== '' &&
    !name.includes('*') &&
    parseUrl(`http://${name}`)?.hostname === name
  );
}

/**
 * A copy, for which each property is read once. Throws BAD_OPTION. The message has no value of a
 * header, because it may be a secret.
 */
function checkedHeaders(given: unknown): WebSocketHeaders {
  if (typeof given !== 'object' || given === null || isArray(given))
    throw badOption(
      'websocket.headers',
      given,
      'an object of strings, or a function that returns one',
    );
  const headers = copyOf(given);
  for (const [name, value] of Object.entries(headers)) {
    if (!TOKEN.test(name)) throw badOption('websocket.headers', name, 'names that HTTP allows');
    if (typeof value !== 'string' || !HEADER_VALUE.test(value)) {
      throw badSecret(`websocket.headers.${name}`, value, 'a string that HTTP allows');
    }
    if (BODY_HEADERS.includes(name.toLowerCase()))
      throw badOption('websocket.headers', name, 'headers of a request without a body');
  }
  return headers as WebSocketHeaders;
}

/** Throws BAD_OPTION for a promise, a Map and Headers: their properties are no headers. */
function copyOf(given: object): Record<string, unknown> {
  let refused: string | undefined;
  try {
    if (typeof (given as PromiseLike<unknown>).then === 'function')
      refused = 'a promise; await it, or give a function that returns it';
    else if (Symbol.iterator in given)
      refused = 'an iterable; Object.fromEntries() makes an object of it';
    else return { ...given };
  } catch (error) {
    refused = `an object that throws: ${messageOf(error)}`;
  }
  throw gettyError('BAD_OPTION', `websocket.headers: got ${refused}`);
}

/**
 * The option `headers`, or the result of its function, for one attempt to connect. Rejects with
 * BAD_OPTION if they are invalid. Rejects with CONNECT_FAILED if the function fails or the signal
 * aborts.
 */
export async function headersOf(
  { headers = {} }: WebSocketOptions,
  address: Address,
  signal: AbortSignal,
): Promise<WebSocketHeaders> {
  if (typeof headers !== 'function') return checkedHeaders(headers);
  let returned: unknown;
  try {
    returned = await untilAborted(
      callAsync(() => headers()),
      signal,
    );
  } catch (error) {
    throw gettyError(
      'CONNECT_FAILED',
      `cannot connect to ${address.text}: ${messageOf(error)}`,
      error,
    );
  }
  return checkedHeaders(returned);
}
