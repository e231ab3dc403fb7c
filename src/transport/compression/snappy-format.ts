/** The framing format of snappy. Source: framing_format.txt of snappy's authors. */
import { compress } from 'snappyjs';
import { maskedChecksum } from './snappy-checksum.js';

/** The first chunk of each stream. */
export const STREAM_IDENTIFIER = Buffer.from('\xff\x06\x00\x00sNaPpY', 'latin1');

// The types of chunks.
export const COMPRESSED = 0x00;
export const UNCOMPRESSED = 0x01;
/** A reader ignores chunks of unknown types from this one on. Padding is one of them. */
export const FIRST_SKIPPABLE = 0x80;
export const IDENTIFIER = 0xff;

/** Bytes: the type of a chunk, and three bytes of length. */
export const HEADER_BYTES = 4;
/** Bytes at the beginning of a compressed or uncompressed chunk's body. */
export const CHECKSUM_BYTES = 4;
/** Bytes in one chunk before compression. */
export const MAX_BLOCK = 65_536;
/** Bytes of a compressed block at worst, by MaxCompressedLength() of snappy. */
export const MAX_COMPRESSED_BLOCK = 32 + MAX_BLOCK + Math.floor(MAX_BLOCK / 6);

/**
 * `bytes` as chunks; a header and a body in turn. A block is compressed if that saves more than an
 * eighth, as in Go.
 */
export function* chunksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += MAX_BLOCK) {
    const block = bytes.subarray(at, at + MAX_BLOCK);
    const compressed = compress(block);
    const isCompressed = compressed.length < block.length - Math.floor(block.length / 8);
    const body = isCompressed ? compressed : block;
    const header = Buffer.alloc(HEADER_BYTES + CHECKSUM_BYTES);
    header[0] = isCompressed ? COMPRESSED : UNCOMPRESSED;
    header.writeUIntLE(CHECKSUM_BYTES + body.length, 1, 3);
    header.writeUInt32LE(maskedChecksum(block), HEADER_BYTES);
    yield header;
    yield body;
  }
}
