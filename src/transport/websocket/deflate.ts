/**
 * permessage-deflate (RFC 7692). What is sent goes without context takeover: each message is
 * compressed by itself. That keeps no memory for idle connections, and lets a message be compressed
 * where it is written, so that the order of messages takes no queue. A server that keeps its window
 * (context takeover) is understood: the end of what it sent is kept, as the dictionary of the next
 * message.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { constants, deflateRawSync, inflateRaw, inflateRawSync, type ZlibOptions } from 'node:zlib';
import { gettyError, messageOf } from '../../core/errors.js';
import { spend } from '../../core/turn.js';
import type { Compression } from '../types.js';
import { CLOSE, FrameError } from './frames.js';
import { MAX_COMPRESS_BYTES } from './settings.js';

const NAME = 'permessage-deflate';
/** Smaller messages are sent as they are: they gain nothing. */
const THRESHOLD = 1024;
/**
 * The highest level for a message of at most so many bytes. Compression runs on the thread of
 * JavaScript, and a peer may choose what it is told: at these levels the worst content that we know
 * takes some 10 ms.
 */
const HIGHEST_LEVELS = [
  { bytes: 16 * 1024, level: 9 },
  { bytes: 64 * 1024, level: 6 },
] as const;
const FASTEST_LEVEL = 1;
/** zlib's. */
const DEFAULT_LEVEL = 6;
/** Units of spend() for one call of zlib: as many as make it read the clock. */
const ZLIB_UNITS = 64;
/**
 * A compressed message from this size on is inflated in larger pieces of output, which saves a
 * third of the time. Bytes.
 */
const LARGE_INPUT = 16 * 1024;
const LARGE_OUTPUT = 64 * 1024;
/**
 * Offers of extensions in a request, and parts of an offer, that are looked at. A sixth part is a
 * parameter too many in any case.
 */
const MAX_OFFERS = 16;
const MAX_PARAMETERS = 6;
const TAIL_BYTES = 4;
const LARGEST_WINDOW = 15;
/** zlib knows none below it. */
const SMALLEST_WINDOW = 9;
const WINDOW_BYTES = 2 ** LARGEST_WINDOW;
const NO_TAKEOVER = 'server_no_context_takeover; client_no_context_takeover';

/**
 * What a client sends as Sec-WebSocket-Extensions. The second offer is for servers that keep their
 * window in any case.
 */
export const DEFLATE_OFFER = `${NAME}; ${NO_TAKEOVER}; client_max_window_bits, ${NAME}; client_max_window_bits`;

/** A block that holds nothing and is the last one. */
const LAST_BLOCK = Buffer.from('010000ffff', 'hex');
const SMALLEST_MARK = 16;
const LARGEST_MARK = 271;

/**
 * What is put behind a message in place of the 4 bytes that its sender removed (an empty stored
 * block's lengths): the lengths and the content of a stored block that holds a mark, then a last
 * block. The mark is random in content and size, so that no peer can send what looks like it: a
 * message that does has to be inflated again, with another ending.
 */
function newEnding(): Ending {
  const mark = randomBytes(randomInt(SMALLEST_MARK, LARGEST_MARK + 1));
  const lengths = Buffer.alloc(TAIL_BYTES);
  lengths.writeUInt16LE(mark.length);
  lengths.writeUInt16LE(mark.length ^ 0xffff, 2);
  return {
    bytes: Buffer.concat([lengths, mark, LAST_BLOCK]),
    marked: Buffer.concat([lengths, mark]),
    size: mark.length,
  };
}

let ending = newEnding();

interface Ending {
  readonly bytes: Buffer;
  /** The lengths and the mark. */
  readonly marked: Buffer;
  /** Bytes of the mark. */
  readonly size: number;
}

/** What zlib returns with the option `info`. The types of Node.js do not know it. */
interface Inflated {
  readonly buffer: Buffer;
  /** `bytesWritten`: how many bytes of the input it took. */
  readonly engine: { readonly bytesWritten: number };
}

/**
 * What an ending tells: `whole`, `broken`, or `unclear`, when the content of the message looks like
 * the ending.
 */
type Outcome =
  | { readonly state: 'whole'; readonly bytes: Buffer }
  | { readonly state: 'broken' | 'unclear' };

/** Compresses and inflates the messages of one connection. */
export class MessageDeflate {
  readonly #level: number;
  readonly #maxCompressBytes: number;
  readonly #windowBits: number;
  readonly #keepsWindow: boolean;
  /** The last bytes that the peer sent compressed, where it may refer to them. */
  #window: Buffer | undefined;

  /**
   * `windowBits` is what the peer can inflate. `keepsWindow`: a message of the peer may refer to
   * those before it. A message of more than `maxCompressBytes` is sent as it is.
   */
  constructor(
    compression: Compression,
    windowBits = LARGEST_WINDOW,
    keepsWindow = false,
    maxCompressBytes = MAX_COMPRESS_BYTES,
  ) {
    const level =
      typeof compression === 'object' ? compression.deflate : constants.Z_DEFAULT_COMPRESSION;
    this.#level = level === constants.Z_DEFAULT_COMPRESSION ? DEFAULT_LEVEL : level;
    this.#maxCompressBytes = maxCompressBytes;
    this.#windowBits = windowBits;
    this.#keepsWindow = keepsWindow;
  }

  /** Undefined when the message is better sent as it is. */
  deflate(message: Buffer): Buffer | undefined {
    if (message.length < THRESHOLD || message.length > this.#maxCompressBytes) return undefined;
    const options: ZlibOptions = {
      level: Math.min(this.#level, highestLevel(message.length)),
      windowBits: Math.max(this.#windowBits, SMALLEST_WINDOW),
      // It refers to the byte before, and to none further back: that fits in a window of any size.
      strategy: this.#windowBits < SMALLEST_WINDOW ? constants.Z_RLE : constants.Z_DEFAULT_STRATEGY,
      finishFlush: constants.Z_SYNC_FLUSH,
    };
    spend(ZLIB_UNITS);
    const bytes = deflateRawSync(message, options);
    spend(ZLIB_UNITS);
    // A sync flush ends with an empty block, 00 00 ff ff, which both sides know.
    const length = bytes.length - TAIL_BYTES;
    return length < message.length ? bytes.subarray(0, length) : undefined;
  }

  /**
   * Throws FrameError: it cannot be inflated, it is cut short, it goes on after its end, or it
   * inflates to more than a limit.
   */
  inflate(bytes: Buffer, maxMessageBytes: number, maxInflatedBytes: number): Buffer {
    let message: Buffer | undefined;
    while (message === undefined) {
      const usedEnding = ending;
      let inflated: Inflated;
      spend(ZLIB_UNITS);
      try {
        inflated = inflateRawSync(
          withEnding(bytes, usedEnding),
          this.#options(bytes, usedEnding, maxMessageBytes, maxInflatedBytes),
        ) as unknown as Inflated;
      } catch (error) {
        throw inflateError(error, maxMessageBytes, maxInflatedBytes);
      }
      spend(ZLIB_UNITS);
      message = this.#messageOf(inflated, bytes, usedEnding, maxMessageBytes, maxInflatedBytes);
    }
    return message;
  }

  /**
   * The same on a thread of zlib. Calls `done` in a later turn of the event loop, with the message
   * or what inflate() would throw. Until then nothing else of this connection may be inflated.
   */
  inflateLater(
    bytes: Buffer,
    maxMessageBytes: number,
    maxInflatedBytes: number,
    done: (result: Buffer | FrameError) => void,
  ): void {
    const usedEnding = ending;
    inflateRaw(
      withEnding(bytes, usedEnding),
      this.#options(bytes, usedEnding, maxMessageBytes, maxInflatedBytes),
      (error, inflated) => {
        if (error !== null) return done(inflateError(error, maxMessageBytes, maxInflatedBytes));
        let result: Buffer | FrameError | undefined;
        try {
          result = this.#messageOf(
            inflated as unknown as Inflated,
            bytes,
            usedEnding,
            maxMessageBytes,
            maxInflatedBytes,
          );
        } catch (failure) {
          result = failure as FrameError;
        }
        if (result === undefined) this.inflateLater(bytes, maxMessageBytes, maxInflatedBytes, done);
        else done(result);
      },
    );
  }

  #options(
    bytes: Buffer,
    { size }: Ending,
    maxMessageBytes: number,
    maxInflatedBytes: number,
  ): ZlibOptions {
    const limit = Math.min(maxMessageBytes, maxInflatedBytes);
    return {
      info: true,
      maxOutputLength: limit + size,
      dictionary: this.#window,
      chunkSize: outputSize(bytes.length),
    };
  }

  /** Undefined: `bytes` have to be inflated again, with the new ending. Throws FrameError. */
  #messageOf(
    inflated: Inflated,
    bytes: Buffer,
    usedEnding: Ending,
    maxMessageBytes: number,
    maxInflatedBytes: number,
  ): Buffer | undefined {
    const outcome = outcomeOf(inflated, bytes, usedEnding);
    if (outcome.state === 'unclear') {
      // Data cut short can look whole with one ending, but not with two of different lengths.
      ending = newEnding();
      return undefined;
    }
    if (outcome.state !== 'whole')
      throw new FrameError(
        CLOSE.badText,
        'a compressed message is cut short, or goes on after its end',
      );
    if (outcome.bytes.length > Math.min(maxMessageBytes, maxInflatedBytes))
      throw tooLarge(maxMessageBytes, maxInflatedBytes);
    if (this.#keepsWindow) this.#window = lastBytes(this.#window, outcome.bytes);
    return withoutSpare(outcome.bytes);
  }

  /**
   * Inflates the first bytes of a message, as far as they go. Throws FrameError as inflate() does.
   */
  inflateStart(bytes: Buffer, maxMessageBytes: number, maxInflatedBytes: number): Buffer {
    try {
      spend(ZLIB_UNITS);
      const start = inflateRawSync(bytes, {
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: Math.min(maxMessageBytes, maxInflatedBytes),
        dictionary: this.#window,
        chunkSize: outputSize(bytes.length),
      });
      spend(ZLIB_UNITS);
      return start;
    } catch (error) {
      throw inflateError(error, maxMessageBytes, maxInflatedBytes);
    }
  }
}

function inflateError(
  error: unknown,
  maxMessageBytes: number,
  maxInflatedBytes: number,
): FrameError {
  if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
    return tooLarge(maxMessageBytes, maxInflatedBytes);
  return new FrameError(
    CLOSE.badText,
    `a message cannot be inflated: ${messageOf(error)}`,
    'BAD_FRAME',
    error,
  );
}

function highestLevel(bytes: number): number {
  return HIGHEST_LEVELS.find((row) => bytes <= row.bytes)?.level ?? FASTEST_LEVEL;
}

/** How many bytes zlib inflates at a time, for a compressed message of `bytes`. */
function outputSize(bytes: number): number {
  return bytes < LARGE_INPUT ? constants.Z_DEFAULT_CHUNK : LARGE_OUTPUT;
}

function withEnding(bytes: Buffer, usedEnding: Ending): Buffer {
  const input = Buffer.allocUnsafe(bytes.length + usedEnding.bytes.length);
  input.set(bytes, 0);
  input.set(usedEnding.bytes, bytes.length);
  return input;
}

function outcomeOf({ buffer, engine }: Inflated, bytes: Buffer, usedEnding: Ending): Outcome {
  const taken = engine.bytesWritten;
  // The message has a last block of its own. Behind it may be the first byte of the empty block
  // whose other bytes the sender removed.
  if (taken <= bytes.length) {
    const isWhole = taken === bytes.length || (taken === bytes.length - 1 && bytes[taken] === 0);
    return isWhole ? { state: 'whole', bytes: buffer } : { state: 'broken' };
  }
  const size = buffer.length - usedEnding.size;
  if (
    taken < bytes.length + usedEnding.bytes.length ||
    size < 0 ||
    usedEnding.marked.compare(buffer, size, buffer.length, TAIL_BYTES) !== 0
  )
    return { state: 'broken' };
  // The lengths are data too: a stored block was cut short. Or else the message ends in the same
  // bytes.
  if (size >= TAIL_BYTES && usedEnding.marked.compare(buffer, size - TAIL_BYTES) === 0)
    return { state: 'unclear' };
  return { state: 'whole', bytes: buffer.subarray(0, size) };
}

function tooLarge(maxMessageBytes: number, maxInflatedBytes: number): FrameError {
  return maxInflatedBytes < maxMessageBytes
    ? new FrameError(
        CLOSE.tooLarge,
        `a message inflates to more than maxInflatedBytes, ${maxInflatedBytes}`,
        'INFLATE_LIMIT',
      )
    : new FrameError(
        CLOSE.tooLarge,
        `a message inflates to more bytes than allowed; maxMessageBytes is ${maxMessageBytes}`,
        'MESSAGE_TOO_LARGE',
      );
}

/**
 * A copy where zlib's buffer is much larger than the message: a handler that keeps a message of one
 * byte must not keep 16 KiB.
 */
function withoutSpare(message: Buffer): Buffer {
  if (message.length * 2 >= message.buffer.byteLength) return message;
  const copy = Buffer.allocUnsafeSlow(message.length);
  copy.set(message, 0);
  return copy;
}

/**
 * The end of what was sent, as long as a window. It is a copy: the message belongs to its receiver.
 */
function lastBytes(before: Buffer | undefined, message: Buffer): Buffer {
  if (before === undefined || message.length >= WINDOW_BYTES)
    return Buffer.from(message.subarray(-WINDOW_BYTES));
  return Buffer.concat([
    before.subarray(
      Math.min(before.length, Math.max(0, before.length + message.length - WINDOW_BYTES)),
    ),
    message,
  ]);
}

/**
 * A server's choice among the offers of a client: the first that we can keep; undefined when there
 * is none.
 */
export function acceptOffer(
  header: string | undefined,
  compression: Compression,
  maxCompressBytes?: number,
): { readonly answer: string; readonly deflate: MessageDeflate } | undefined {
  for (const offer of header?.split(',', MAX_OFFERS) ?? []) {
    const parameters = parametersOf(offer);
    if (parameters === undefined) continue;
    const asked = parameters.get('server_max_window_bits');
    const answer = `${NAME}; ${NO_TAKEOVER}${asked === undefined ? '' : `; server_max_window_bits=${asked}`}`;
    const windowBits = asked === undefined ? LARGEST_WINDOW : Number(asked);
    return {
      answer,
      deflate: new MessageDeflate(compression, windowBits, false, maxCompressBytes),
    };
  }
  return undefined;
}

/**
 * What a server's answer to DEFLATE_OFFER means. Throws CONNECT_FAILED when it is none that we can
 * keep.
 */
export function acceptAnswer(
  header: string,
  compression: Compression,
  maxCompressBytes?: number,
): MessageDeflate {
  const parameters = parametersOf(header);
  const window = parameters?.get('client_max_window_bits');
  // An offer may leave the size of the window to the server; an answer says it.
  if (parameters === undefined || window === '')
    throw gettyError(
      'CONNECT_FAILED',
      `the server agreed to what was not offered: ${JSON.stringify(header)}`,
    );
  const windowBits = window === undefined ? LARGEST_WINDOW : Number(window);
  return new MessageDeflate(
    compression,
    windowBits,
    !parameters.has('server_no_context_takeover'),
    maxCompressBytes,
  );
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
  const [name, ...rest] = text.split(';', MAX_PARAMETERS).map((part) => part.trim());
  if (name !== NAME) return undefined;
  const found = new Map<string, string>();
  for (const part of rest) {
    const [, key = '', , quoted, plain] =
      /^([a-z_]+)(\s*=\s*(?:"([0-9]+)"|([0-9]+)))?$/.exec(part) ?? [];
    const value = quoted ?? plain ?? '';
    if (!Object.hasOwn(PARAMETERS, key) || found.has(key) || !PARAMETERS[key]?.(value))
      return undefined;
    found.set(key, value);
  }
  return found;
}
