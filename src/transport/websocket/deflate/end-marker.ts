import { randomBytes, randomInt } from 'node:crypto';
import { REMOVED_BYTES } from './permessage-deflate.js';

const MIN_CONTENT_BYTES = 16;
const MAX_CONTENT_BYTES = 271;
/** An empty stored block with the bit of the last block. */
const LAST_BLOCK = Buffer.from('010000ffff', 'hex');

/** What zlib returns with the option `info`. The types of Node.js do not have it. */
export interface ZlibResult {
  readonly buffer: Buffer;
  /** `bytesWritten`: the number of input bytes that zlib has taken. */
  readonly engine: { readonly bytesWritten: number };
}

/**
 * `complete`: the message is the first `length` bytes of the output. `ambiguous`: the message ends
 * like the marker; inflate it again with a new marker.
 */
export type MarkerResult =
  | { readonly state: 'complete'; readonly length: number }
  | { readonly state: 'incomplete' | 'ambiguous' };

/**
 * The bytes that are appended to a compressed message, to check in one call of zlib that it is
 * complete.
 *
 * They replace the lengths of the empty stored block that the sender has removed. They make it a
 * stored block with random content, and add a last block. The message was complete only if zlib
 * takes all bytes and the output ends with the random content. Content and size are random, so a
 * peer cannot send the marker.
 */
export class EndMarker {
  /** The marker of all connections. */
  static current = new EndMarker();

  /** Bytes that the marker adds to the output. */
  readonly contentBytes: number;
  /** The lengths and the content of the stored block. */
  readonly #storedBlock: Buffer;
  readonly #bytes: Buffer;

  constructor() {
    const content = randomBytes(randomInt(MIN_CONTENT_BYTES, MAX_CONTENT_BYTES + 1));
    const lengths = Buffer.alloc(REMOVED_BYTES);
    lengths.writeUInt16LE(content.length);
    lengths.writeUInt16LE(content.length ^ 0xffff, 2);
    this.contentBytes = content.length;
    this.#storedBlock = Buffer.concat([lengths, content]);
    this.#bytes = Buffer.concat([this.#storedBlock, LAST_BLOCK]);
  }

  /** A copy of the compressed message with the marker. */
  appendTo(compressed: Buffer): Buffer {
    const input = Buffer.allocUnsafe(compressed.length + this.#bytes.length);
    input.set(compressed, 0);
    input.set(this.#bytes, compressed.length);
    return input;
  }

  /** Finds the marker in the output of appendTo(compressed). */
  find({ buffer, engine }: ZlibResult, compressed: Buffer): MarkerResult {
    const taken = engine.bytesWritten;
    // The message has a last block. The first byte of the sender's empty block, a 0, may follow it.
    if (taken <= compressed.length) {
      const isComplete =
        taken === compressed.length || (taken === compressed.length - 1 && compressed[taken] === 0);
      return isComplete ? { state: 'complete', length: buffer.length } : { state: 'incomplete' };
    }
    const length = buffer.length - this.contentBytes;
    if (
      taken < compressed.length + this.#bytes.length ||
      length < 0 ||
      this.#storedBlock.compare(buffer, length, buffer.length, REMOVED_BYTES) !== 0
    )
      return { state: 'incomplete' };
    // The lengths of the marker are output too. Either the message was cut inside a stored block,
    // or it ends with the same bytes.
    if (length >= REMOVED_BYTES && this.#storedBlock.compare(buffer, length - REMOVED_BYTES) === 0)
      return { state: 'ambiguous' };
    return { state: 'complete', length };
  }
}
