import { constants, deflateRawSync, type ZlibOptions } from 'node:zlib';
import { spend } from '../../../core/turn.js';
import type { Compression } from '../../types.js';
import { MAX_COMPRESS_BYTES } from '../websocket-options.js';
import { MAX_WINDOW_BITS, REMOVED_BYTES, ZLIB_UNITS } from './permessage-deflate.js';

/** A smaller message is sent uncompressed, because it gains nothing. Bytes. */
const MIN_COMPRESS_BYTES = 1024;
/**
 * The highest level by the size of the message. Compression runs on the JavaScript thread, and a
 * peer may influence what is sent to it. At these levels the worst known content takes about 10 ms.
 */
const MAX_LEVELS = [
  { maxBytes: 16 * 1024, level: 9 },
  { maxBytes: 64 * 1024, level: 6 },
] as const;
const FASTEST_LEVEL = 1;
/** The level that zlib uses for -1. */
const DEFAULT_LEVEL = 6;
/** The smallest window that zlib supports, as an exponent of two. */
const MIN_ZLIB_WINDOW_BITS = 9;

/** Compresses the messages of one connection. */
export class MessageDeflater {
  readonly #level: number;
  readonly #maxCompressBytes: number;
  readonly #windowBits: number;
  /** Deflaters with the same key make the same bytes of a message. */
  readonly key: string;

  /**
   * `windowBits`: the window of the peer, 8 to 15, as an exponent of two. A message of more than
   * `maxCompressBytes` is sent uncompressed.
   */
  constructor(
    compression: Compression,
    windowBits = MAX_WINDOW_BITS,
    maxCompressBytes = MAX_COMPRESS_BYTES,
  ) {
    const level =
      typeof compression === 'object' ? compression.deflate : constants.Z_DEFAULT_COMPRESSION;
    this.#level = level === constants.Z_DEFAULT_COMPRESSION ? DEFAULT_LEVEL : level;
    this.#maxCompressBytes = maxCompressBytes;
    this.#windowBits = windowBits;
    this.key = `${this.#level} ${windowBits} ${maxCompressBytes}`;
  }

  /** Returns undefined if the message is to be sent uncompressed. */
  deflate(message: Buffer): Buffer | undefined {
    if (message.length < MIN_COMPRESS_BYTES || message.length > this.#maxCompressBytes)
      return undefined;
    const isTinyWindow = this.#windowBits < MIN_ZLIB_WINDOW_BITS;
    const options: ZlibOptions = {
      level: Math.min(this.#level, maxLevelOf(message.length)),
      windowBits: Math.max(this.#windowBits, MIN_ZLIB_WINDOW_BITS),
      // Z_RLE refers to the previous byte only, so a window of any size is enough.
      strategy: isTinyWindow ? constants.Z_RLE : constants.Z_DEFAULT_STRATEGY,
      finishFlush: constants.Z_SYNC_FLUSH,
    };
    spend(ZLIB_UNITS);
    const bytes = deflateRawSync(message, options);
    spend(ZLIB_UNITS);
    const length = bytes.length - REMOVED_BYTES;
    return length < message.length ? bytes.subarray(0, length) : undefined;
  }
}

function maxLevelOf(bytes: number): number {
  return MAX_LEVELS.find(({ maxBytes }) => bytes <= maxBytes)?.level ?? FASTEST_LEVEL;
}
