/**
 * The framing format of snappy (framing_format.txt of its authors) and its blocks, as functions of
 * bytes. Throws plain Errors for what is wrong.
 */
import { compress } from 'snappyjs';
import { ByteReader } from '../buffers/byte-reader.js';
import { now } from '../session/flush-scheduler.js';

export const STREAM_IDENTIFIER = Buffer.from('\xff\x06\x00\x00sNaPpY', 'latin1');

const COMPRESSED = 0x00;
const UNCOMPRESSED = 0x01;
/** From here on chunks of unknown types are passed over; padding is one. */
const SKIPPABLE = 0x80;
const IDENTIFIER = 0xff;
const HEAD = 4;
const CHECKSUM = 4;
/** Of one chunk, before compression; and the longest that this may become. */
export const MAX_BLOCK = 65_536;
const MAX_COMPRESSED = 32 + MAX_BLOCK + Math.floor(MAX_BLOCK / 6);

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C, as of RFC 3720. */
export function crc32c(bytes: Uint8Array): number {
  let crc = -1;
  for (let i = 0; i < bytes.length; i++)
    crc = (CRC_TABLE[(crc ^ (bytes[i] as number)) & 0xff] as number) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * The checksum of data that holds its own checksum is no good one: the format turns it and adds a
 * constant.
 */
export function maskedChecksum(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** `bytes` as chunks; compressed where that saves an eighth, as Go decides. */
export function* chunksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += MAX_BLOCK) {
    const block = bytes.subarray(at, at + MAX_BLOCK);
    const compressed = compress(block);
    const saves = compressed.length < block.length - Math.floor(block.length / 8);
    const body = saves ? compressed : block;
    const head = Buffer.alloc(HEAD + CHECKSUM);
    head[0] = saves ? COMPRESSED : UNCOMPRESSED;
    head.writeUIntLE(CHECKSUM + body.length, 1, 3);
    head.writeUInt32LE(maskedChecksum(block), HEAD);
    yield head;
    yield body;
  }
}

/** What a block says that it inflates to, and where its tags begin. */
function sizeOf(block: Buffer): { size: number; begin: number } {
  let size = 0;
  for (let i = 0; i < block.length && i < 3; i++) {
    const byte = block[i] as number;
    size += (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      if (size > MAX_BLOCK) break;
      return { size, begin: i + 1 };
    }
  }
  throw new Error('a block does not say how long it is, or is too long');
}

/**
 * Inflate a block. Ours, for it reads what may be hostile: at a negative length snappyjs goes back
 * in its input, for ever, and a block that holds less than it says is fine with it.
 */
export function inflateBlock(block: Buffer): Buffer {
  const { size, begin } = sizeOf(block);
  const out = Buffer.allocUnsafeSlow(size);
  let to = 0;
  for (let at = begin; at < block.length; ) {
    const tag = block[at++] as number;
    const kind = tag & 3;
    // Bytes that follow the tag, least first: a long length of a literal, or the offset of a copy.
    const width = kind === 0 ? Math.max(0, (tag >>> 2) - 59) : kind === 3 ? 4 : kind;
    if (at + width > block.length) throw new Error('a block is cut off');
    const number = width === 0 ? 0 : block.readUIntLE(at, width);
    at += width;
    let length = (tag >>> 2) + 1;
    if (kind === 0) {
      if (width > 0) length = number + 1;
      if (length > block.length - at || length > size - to)
        throw new Error('a literal is longer than its block');
      block.copy(out, to, at, at + length);
      at += length;
    } else {
      const offset = kind === 1 ? number + ((tag >>> 5) << 8) : number;
      if (kind === 1) length = ((tag >>> 2) & 7) + 4;
      if (offset === 0 || offset > to || length > size - to)
        throw new Error('a copy reaches out of its block');
      // A copy of what it is just writing goes byte by byte.
      if (offset >= length) out.copyWithin(to, to - offset, to - offset + length);
      else for (let i = to; i < to + length; i++) out[i] = out[i - offset] as number;
    }
    to += length;
  }
  if (to < size) throw new Error('a block holds less than it says');
  return out;
}

/** Takes a stream apart. After it has thrown it is of no use. */
export class SnappyReader {
  readonly #input = new ByteReader();
  #identified = false;
  /** Bytes of a chunk that is passed over. */
  #skipping = 0;
  /** Since when a chunk has been coming that is not whole, by now(); 0: there is none. */
  partialSince = 0;

  feed(bytes: Buffer): void {
    this.#input.feed(bytes);
  }

  /** No more is read for now: keep no more memory than the unread bytes need. */
  release(): void {
    this.#input.release();
  }

  /**
   * The data of the next chunk that has any; undefined while that is not whole. `spend` is told its
   * size before it is inflated.
   */
  next(spend: (bytes: number) => void): Buffer | undefined {
    const input = this.#input;
    while (this.#pass()) {
      const type = input.peek(0) as number;
      const length =
        input.length < HEAD ? undefined : input.bytes.readUIntLE(input.position + 1, 3);
      this.#check(type, length);
      if (length === undefined || (!isSkippable(type) && input.length < HEAD + length)) {
        if (length !== undefined) input.want(HEAD + length);
        this.partialSince ||= now();
        return undefined;
      }
      this.partialSince = 0;
      input.skip(HEAD);
      if (isSkippable(type)) this.#skipping = length;
      else {
        const bytes = this.#open(type, input.take(length), spend);
        if (bytes.length > 0) return bytes;
      }
    }
    return undefined;
  }

  /** Pass over what is skipped. False: there is no chunk to look at. */
  #pass(): boolean {
    const input = this.#input;
    const count = Math.min(this.#skipping, input.length);
    input.skip(count);
    this.#skipping -= count;
    this.partialSince =
      this.#skipping > 0 ? this.partialSince || now() : input.length > 0 ? this.partialSince : 0;
    return input.length > 0;
  }

  /** Throws as soon as the beginning of a chunk is wrong, whether its length has come or not. */
  #check(type: number, length: number | undefined): void {
    if (!this.#identified && type !== IDENTIFIER)
      throw new Error('it does not begin with ff 06 00 00 sNaPpY');
    if (type > UNCOMPRESSED && type < SKIPPABLE)
      throw new Error(`a chunk has the unknown type ${type}`);
    if (length === undefined || isSkippable(type)) return;
    const data = STREAM_IDENTIFIER.length - HEAD;
    const [least, most] =
      type === IDENTIFIER
        ? [data, data]
        : [CHECKSUM, CHECKSUM + (type === COMPRESSED ? MAX_COMPRESSED : MAX_BLOCK)];
    if (length < least || length > most)
      throw new Error(`a chunk of type ${type} has ${length} bytes`);
  }

  /** What a whole chunk brings. */
  #open(type: number, body: Buffer, spend: (bytes: number) => void): Buffer {
    if (type === IDENTIFIER) {
      if (!body.equals(STREAM_IDENTIFIER.subarray(HEAD)))
        throw new Error('its identifier is another');
      this.#identified = true;
      return body.subarray(body.length);
    }
    const data = body.subarray(CHECKSUM);
    spend(type === COMPRESSED ? sizeOf(data).size : data.length);
    const bytes = type === COMPRESSED ? inflateBlock(data) : data;
    if (body.readUInt32LE(0) !== maskedChecksum(bytes))
      throw new Error('the checksum of a chunk is wrong');
    return bytes;
  }
}

function isSkippable(type: number): boolean {
  return type >= SKIPPABLE && type !== IDENTIFIER;
}
