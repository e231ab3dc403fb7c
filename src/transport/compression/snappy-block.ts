/**
 * Decompresses the blocks of snappy. Source: format_description.txt of snappy's authors.
 *
 * snappyjs is not used, because peers may be hostile. Its decompressor never ends on a negative
 * length, and accepts a block with fewer bytes than it announces.
 */
import { MAX_BLOCK } from './snappy-format.js';

/** The lowest two bits of a tag. Any other kind is a copy whose offset has `kind` bytes. */
const LITERAL = 0;
const COPY_WITH_LONG_OFFSET = 3;

interface BlockHeader {
  /** Bytes after decompression. */
  readonly size: number;
  /** The offset of the first tag. */
  readonly tagsAt: number;
}

/** Throws unless the block announces at most MAX_BLOCK bytes. */
export function readBlockHeader(block: Buffer): BlockHeader {
  let size = 0;
  for (let i = 0; i < block.length && i < 3; i++) {
    const byte = block[i] as number;
    size += (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      if (size > MAX_BLOCK) break;
      return { size, tagsAt: i + 1 };
    }
  }
  throw new Error(`a block announces no size, or more than ${MAX_BLOCK} bytes`);
}

/** The content of `block`. Throws if it is invalid. */
export function inflateBlock(block: Buffer): Buffer {
  const { size, tagsAt } = readBlockHeader(block);
  const output = Buffer.allocUnsafeSlow(size);
  let end = 0;
  for (let at = tagsAt; at < block.length; ) {
    const tag = block[at++] as number;
    const kind = tag & 3;
    // A little-endian number follows the tag: the length of a long literal, or the copy's offset.
    const width =
      kind === LITERAL ? Math.max(0, (tag >>> 2) - 59) : kind === COPY_WITH_LONG_OFFSET ? 4 : kind;
    if (at + width > block.length) throw new Error('a block is incomplete');
    const number = width === 0 ? 0 : block.readUIntLE(at, width);
    at += width;
    let length = (tag >>> 2) + 1;
    if (kind === LITERAL) {
      if (width > 0) length = number + 1;
      if (length > block.length - at || length > size - end)
        throw new Error('a literal is longer than its block');
      block.copy(output, end, at, at + length);
      at += length;
    } else {
      const offset = kind === 1 ? number + ((tag >>> 5) << 8) : number;
      if (kind === 1) length = ((tag >>> 2) & 7) + 4;
      if (offset === 0 || offset > end || length > size - end)
        throw new Error('a copy reaches beyond its block');
      // A copy that overlaps its own output repeats it, so it goes byte by byte.
      if (offset >= length) output.copyWithin(end, end - offset, end - offset + length);
      else for (let i = end; i < end + length; i++) output[i] = output[i - offset] as number;
    }
    end += length;
  }
  if (end < size) throw new Error('a block has fewer bytes than it announces');
  return output;
}
