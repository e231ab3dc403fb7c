/** Reads the framing format of snappy. */
import { ByteReader } from '../buffers/byte-reader.js';
import { now } from '../session/flush-scheduler.js';
import { inflateBlock, readBlockHeader } from './snappy-block.js';
import { maskedChecksum } from './snappy-checksum.js';
import {
  CHECKSUM_BYTES,
  COMPRESSED,
  FIRST_SKIPPABLE,
  HEADER_BYTES,
  IDENTIFIER,
  MAX_BLOCK,
  MAX_COMPRESSED_BLOCK,
  STREAM_IDENTIFIER,
  UNCOMPRESSED,
} from './snappy-format.js';

const NO_DATA = Buffer.alloc(0);

/** Do not use a reader after it has thrown. */
export class SnappyReader {
  readonly #input = new ByteReader();
  #hasIdentifier = false;
  /** Bytes of an ignored chunk that have not arrived. */
  #bytesToSkip = 0;
  /** When an incomplete chunk began to arrive, by now(); 0: there is none. */
  incompleteSince = 0;

  feed(bytes: Buffer): void {
    this.#input.feed(bytes);
  }

  /** Copies the unread bytes if they keep a larger buffer in memory. */
  release(): void {
    this.#input.release();
  }

  /**
   * The data of the next chunk, of which some kinds have none; undefined if it is incomplete. Calls
   * `beforeInflate` with the size of the data before it is inflated. Throws a plain Error for an
   * invalid stream.
   */
  next(beforeInflate: (bytes: number) => void): Buffer | undefined {
    const input = this.#input;
    if (!this.#skip()) return undefined;
    const type = input.peek(0) as number;
    const length =
      input.length < HEADER_BYTES ? undefined : input.bytes.readUIntLE(input.position + 1, 3);
    this.#checkHeader(type, length);
    if (length === undefined || (!isSkippable(type) && input.length < HEADER_BYTES + length)) {
      if (length !== undefined) input.want(HEADER_BYTES + length);
      this.incompleteSince ||= now();
      return undefined;
    }
    this.incompleteSince = 0;
    input.skip(HEADER_BYTES);
    if (!isSkippable(type)) return this.#readBody(type, input.take(length), beforeInflate);
    this.#bytesToSkip = length;
    this.#skip();
    return NO_DATA;
  }

  /** Skips the rest of an ignored chunk. Returns whether bytes of another chunk are left. */
  #skip(): boolean {
    const input = this.#input;
    const count = Math.min(this.#bytesToSkip, input.length);
    input.skip(count);
    this.#bytesToSkip -= count;
    if (this.#bytesToSkip > 0) this.incompleteSince ||= now();
    else if (input.length === 0) this.incompleteSince = 0;
    return input.length > 0;
  }

  /** `length` is undefined until it has arrived. The type is checked before that. */
  #checkHeader(type: number, length: number | undefined): void {
    if (!this.#hasIdentifier && type !== IDENTIFIER)
      throw new Error('it does not begin with ff 06 00 00 sNaPpY');
    if (type > UNCOMPRESSED && type < FIRST_SKIPPABLE)
      throw new Error(`a chunk has the unknown type ${type}`);
    if (length === undefined || isSkippable(type)) return;
    const identifierBytes = STREAM_IDENTIFIER.length - HEADER_BYTES;
    const [min, max] =
      type === IDENTIFIER
        ? [identifierBytes, identifierBytes]
        : [
            CHECKSUM_BYTES,
            CHECKSUM_BYTES + (type === COMPRESSED ? MAX_COMPRESSED_BLOCK : MAX_BLOCK),
          ];
    if (length < min || length > max)
      throw new Error(`a chunk of type ${type} has the invalid length ${length}`);
  }

  /** The data of a chunk. An identifier has none. */
  #readBody(type: number, body: Buffer, beforeInflate: (bytes: number) => void): Buffer {
    if (type === IDENTIFIER) {
      if (!body.equals(STREAM_IDENTIFIER.subarray(HEADER_BYTES)))
        throw new Error('it has another stream identifier than sNaPpY');
      this.#hasIdentifier = true;
      return NO_DATA;
    }
    const block = body.subarray(CHECKSUM_BYTES);
    beforeInflate(type === COMPRESSED ? readBlockHeader(block).size : block.length);
    const bytes = type === COMPRESSED ? inflateBlock(block) : block;
    if (body.readUInt32LE(0) !== maskedChecksum(bytes))
      throw new Error('the checksum of a chunk is wrong');
    return bytes;
  }
}

function isSkippable(type: number): boolean {
  return type >= FIRST_SKIPPABLE && type !== IDENTIFIER;
}
