/**
 * permessage-deflate (RFC 7692), without context takeover: each message is compressed by itself. That keeps no memory for idle
 * connections, and lets a message be compressed where it is written, so that the order of messages takes no queue.
 */
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { gettyError, messageOf } from '../../core/errors.js';
import type { Compression } from '../types.js';
import { CLOSE, FrameError } from './frames.js';

const NAME = 'permessage-deflate';
/** Smaller messages are sent as they are: they gain nothing. */
const THRESHOLD = 1024;
const TAIL_BYTES = 4;
const LARGEST_WINDOW = 15;

/** What a client sends as Sec-WebSocket-Extensions. */
export const DEFLATE_OFFER = `${NAME}; server_no_context_takeover; client_no_context_takeover`;

/** Compresses and inflates the messages of one connection. */
export class MessageDeflate {
  readonly #level: number;
  readonly #windowBits: number;

  /** `windowBits` is what the peer can inflate. */
  constructor(compression: Compression, windowBits = LARGEST_WINDOW) {
    this.#level = typeof compression === 'object' ? compression.deflate : constants.Z_DEFAULT_COMPRESSION;
    this.#windowBits = windowBits;
  }

  /** Undefined when the message is better sent as it is. */
  deflate(message: Buffer): Buffer | undefined {
    if (message.length < THRESHOLD) return undefined;
    const options = { level: this.#level, windowBits: this.#windowBits, finishFlush: constants.Z_SYNC_FLUSH };
    const bytes = deflateRawSync(message, options);
    // A sync flush ends with an empty block, 00 00 ff ff, which both sides know.
    const length = bytes.length - TAIL_BYTES;
    return length < message.length ? bytes.subarray(0, length) : undefined;
  }

  /** Throws FrameError: it cannot be inflated, or not within the limits. */
  inflate(bytes: Buffer, maxMessageBytes: number, maxInflatedBytes: number): Buffer {
    try {
      return inflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: Math.min(maxMessageBytes, maxInflatedBytes) });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') {
        throw new FrameError(CLOSE.badText, `a message cannot be inflated: ${messageOf(error)}`, 'BAD_FRAME', error);
      }
      if (maxInflatedBytes < maxMessageBytes) {
        throw new FrameError(CLOSE.tooLarge, `a message inflates to more than maxInflatedBytes, ${maxInflatedBytes}`, 'INFLATE_LIMIT');
      }
      throw new FrameError(
        CLOSE.tooLarge,
        `a message inflates to more bytes than allowed; maxMessageBytes is ${maxMessageBytes}`,
        'MESSAGE_TOO_LARGE',
      );
    }
  }
}

/** A server's choice among the offers of a client: the first that we can keep; undefined when there is none. */
export function acceptOffer(
  header: string | undefined,
  compression: Compression,
): { readonly answer: string; readonly deflate: MessageDeflate } | undefined {
  for (const offer of header?.split(',') ?? []) {
    const parameters = parametersOf(offer);
    if (parameters === undefined) continue;
    const asked = parameters.get('server_max_window_bits');
    // zlib has no raw window of 8 bits.
    if (asked === '8') continue;
    const answer = `${DEFLATE_OFFER}${asked === undefined ? '' : `; server_max_window_bits=${asked}`}`;
    return { answer, deflate: new MessageDeflate(compression, asked === undefined ? LARGEST_WINDOW : Number(asked)) };
  }
  return undefined;
}

/** What a server's answer to DEFLATE_OFFER means. Throws CONNECT_FAILED when it is none that we can keep. */
export function acceptAnswer(header: string, compression: Compression): MessageDeflate {
  const parameters = parametersOf(header);
  if (parameters === undefined || !parameters.has('server_no_context_takeover') || parameters.has('client_max_window_bits')) {
    throw gettyError('CONNECT_FAILED', `the server agreed to what was not offered: ${JSON.stringify(header)}`);
  }
  return new MessageDeflate(compression);
}

const WINDOW = /^(?:8|9|1[0-5])$/;
const PARAMETERS: Readonly<Record<string, (value: string) => boolean>> = {
  server_no_context_takeover: (value) => value === '',
  client_no_context_takeover: (value) => value === '',
  server_max_window_bits: (value) => WINDOW.test(value),
  client_max_window_bits: (value) => value === '' || WINDOW.test(value),
};

/** Undefined when it is another extension, or has parameters that nobody knows. */
function parametersOf(text: string): Map<string, string> | undefined {
  const [name, ...rest] = text.split(';').map((part) => part.trim());
  if (name !== NAME) return undefined;
  const found = new Map<string, string>();
  for (const part of rest) {
    const [, key = '', , quoted, plain] = /^([a-z_]+)(\s*=\s*(?:"([0-9]+)"|([0-9]+)))?$/.exec(part) ?? [];
    const value = quoted ?? plain ?? '';
    if (!Object.hasOwn(PARAMETERS, key) || found.has(key) || !PARAMETERS[key]?.(value)) return undefined;
    found.set(key, value);
  }
  return found;
}
