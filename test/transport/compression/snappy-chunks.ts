/** Chunks of snappy's framing format, also invalid chunks. */
import { compress } from 'snappyjs';
import { maskedChecksum } from '../../../src/transport/compression/snappy-checksum.js';
import { STREAM_IDENTIFIER } from '../../../src/transport/compression/snappy-format.js';
import { SnappyReader } from '../../../src/transport/compression/snappy-reader.js';

/** The bytes of hexadecimal digits; spaces are ignored. */
export const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

export const IDENTIFIER = 'ff060000 734e61507059';
// Not made by the tested code: the checksums come from another implementation of CRC-32C, and the
// block from the description of the format.
/** A chunk with `hello\n`. */
export const HELLO = '010a0000 5355ff53 68656c6c6f0a';
/** A chunk with 100 times `a`. */
export const A_HUNDRED_AS = '000d0000 1fa8b5fd 64 0061 fe0100 8a0100';

/** A chunk of any type, with the checksum of `data` unless that is undefined. */
export function chunk(type: number, body: Buffer, data?: Buffer): Buffer {
  const header = Buffer.alloc(data === undefined ? 4 : 8);
  header[0] = type;
  header.writeUIntLE(body.length + header.length - 4, 1, 3);
  if (data !== undefined) header.writeUInt32LE(maskedChecksum(data), 4);
  return Buffer.concat([header, body]);
}
export const uncompressed = (data: Buffer): Buffer => chunk(1, data, data);
export const compressed = (data: Buffer): Buffer => chunk(0, compress(data), data);
export const padding = (size: number): Buffer => chunk(0xfe, Buffer.alloc(size));
/** The identifier, then `chunks`. */
export const stream = (...chunks: Buffer[]): Buffer =>
  Buffer.concat([STREAM_IDENTIFIER, ...chunks]);

/** All data of a stream that arrives in `parts`. */
export function readAll(
  parts: readonly Buffer[],
  beforeInflate: (bytes: number) => void = () => {},
  reader = new SnappyReader(),
): Buffer {
  const data: Buffer[] = [];
  for (const part of parts) {
    reader.feed(part);
    for (;;) {
      const bytes = reader.next(beforeInflate);
      if (bytes === undefined) break;
      data.push(bytes);
    }
  }
  return Buffer.concat(data);
}
