/** Negotiates permessage-deflate in the header Sec-WebSocket-Extensions (RFC 7692, section 7.1). */
import { gettyError } from '../../../core/errors.js';
import { show } from '../../../core/options.js';
import type { Compression } from '../../types.js';
import { MessageDeflater } from './message-deflater.js';
import { MAX_WINDOW_BITS } from './permessage-deflate.js';

const NAME = 'permessage-deflate';
const NO_TAKEOVER = 'server_no_context_takeover; client_no_context_takeover';
/**
 * The windows that a server uses, as exponents of two. They are few, because a broadcast compresses
 * a message once for each window.
 */
const SERVER_WINDOWS = [MAX_WINDOW_BITS, 11, 8];
/** Extensions of a request that are read. */
const MAX_OFFERS = 16;
/** Parts of an offer that are read: the name, four parameters, and one part too many. */
const MAX_PARTS = 6;

/**
 * The value of the header that a client sends. The second offer is for servers that always use
 * context takeover.
 */
export const DEFLATE_OFFER = `${NAME}; ${NO_TAKEOVER}; client_max_window_bits, ${NAME}; client_max_window_bits`;

/** The result of the negotiation for one connection. */
export interface NegotiatedDeflate {
  readonly deflater: MessageDeflater;
  /** A message of the peer may refer to the messages before it. */
  readonly hasContextTakeover: boolean;
}

/**
 * A server's choice: the first of the client's offers that it can accept. `answer` is the value of
 * the header in its response. Returns undefined if it can accept none.
 */
export function acceptOffer(
  header: string | undefined,
  compression: Compression,
  maxCompressBytes?: number,
): { readonly answer: string; readonly deflate: NegotiatedDeflate } | undefined {
  for (const offer of header?.split(',', MAX_OFFERS) ?? []) {
    const parameters = parseParameters(offer);
    if (parameters === undefined) continue;
    const bits = parameters.get('server_max_window_bits');
    const windowBits = bits === undefined ? MAX_WINDOW_BITS : windowWithin(Number(bits));
    const answer = `${NAME}; ${NO_TAKEOVER}${bits === undefined ? '' : `; server_max_window_bits=${windowBits}`}`;
    const deflater = new MessageDeflater(compression, windowBits, maxCompressBytes);
    return { answer, deflate: { deflater, hasContextTakeover: false } };
  }
  return undefined;
}

/** The largest window of a server that is not larger than the client permits. */
const windowWithin = (maxBits: number): number =>
  SERVER_WINDOWS.find((bits) => bits <= maxBits) as number;

/** A server's answer to DEFLATE_OFFER. Throws CONNECT_FAILED: a client cannot accept it. */
export function acceptAnswer(
  header: string,
  compression: Compression,
  maxCompressBytes?: number,
): NegotiatedDeflate {
  const parameters = parseParameters(header);
  const bits = parameters?.get('client_max_window_bits');
  // Only an offer may have client_max_window_bits without a value.
  if (parameters === undefined || bits === '') throw unofferedExtension(header);
  const windowBits = bits === undefined ? MAX_WINDOW_BITS : Number(bits);
  return {
    deflater: new MessageDeflater(compression, windowBits, maxCompressBytes),
    hasContextTakeover: !parameters.has('server_no_context_takeover'),
  };
}

/** CONNECT_FAILED: the server answered with an extension that the client did not offer. */
export function unofferedExtension(header: string): Error {
  return gettyError(
    'CONNECT_FAILED',
    `the server accepted an extension that was not offered: ${show(header)}`,
  );
}

const WINDOW_BITS = /^(?:8|9|1[0-5])$/;
const IS_VALID_PARAMETER: Readonly<Record<string, (value: string) => boolean>> = {
  server_no_context_takeover: (value) => value === '',
  client_no_context_takeover: (value) => value === '',
  server_max_window_bits: (value) => WINDOW_BITS.test(value),
  client_max_window_bits: (value) => value === '' || WINDOW_BITS.test(value),
};

/** Returns undefined for another extension, and for an unknown, repeated or invalid parameter. */
function parseParameters(extension: string): Map<string, string> | undefined {
  const [name, ...parts] = extension.split(';', MAX_PARTS).map((part) => part.trim());
  if (name !== NAME) return undefined;
  const parameters = new Map<string, string>();
  for (const part of parts) {
    const [, key = '', , quoted, plain] =
      /^([a-z_]+)(\s*=\s*(?:"([0-9]+)"|([0-9]+)))?$/.exec(part) ?? [];
    const value = quoted ?? plain ?? '';
    if (
      !Object.hasOwn(IS_VALID_PARAMETER, key) ||
      parameters.has(key) ||
      !IS_VALID_PARAMETER[key]?.(value)
    )
      return undefined;
    parameters.set(key, value);
  }
  return parameters;
}
