/**
 * The part of the Protobuf encoding that the rpc header needs: varints and length-delimited fields
 * (https://protobuf.dev/programming-guides/encoding/).
 */

import { type Bytes, decode, textBytes } from '../../core/bytes.js';
import type { ByteWriter } from '../../transport/buffers/byte-writer.js';

/** Appends an unsigned integer below 2^32. */
export function writeVarint(output: ByteWriter, value: number): void {
  let rest = value >>> 0;
  while (rest > 0x7f) {
    output.uint8((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  output.uint8(rest);
}

/** Appends a field of text: its tag, the length in bytes and the text. */
export function writeTextField(output: ByteWriter, tag: number, text: string): void {
  output.uint8(tag);
  writeVarint(output, textBytes(text));
  output.text(text);
}

/** Reads the fields of one Protobuf message. Throws RangeError for an invalid message. */
export class FieldReader {
  readonly #bytes: Bytes;
  #position: number;
  readonly #end: number;

  constructor(bytes: Bytes, start: number, end: number) {
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
  }

  get done(): boolean {
    return this.#position >= this.#end;
  }

  /** The low 32 bits of an integer of at most ten bytes. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#position >= this.#end) throw new RangeError('a varint is truncated');
      const byte = this.#bytes[this.#position++] as number;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new RangeError('a varint has more than ten bytes');
  }

  /** The bytes of a length-delimited field, as a view. */
  bytes(): Bytes {
    const length = this.varint();
    const from = this.#position;
    if (length > this.#end - from) throw new RangeError(`a field of ${length} bytes is truncated`);
    this.#position = from + length;
    return this.#bytes.subarray(from, from + length);
  }

  text(): string {
    const bytes = this.bytes();
    return decode(bytes, 0, bytes.length);
  }

  /** Skips a field of the wire type in `tag`. */
  skip(tag: number): void {
    const type = tag & 7;
    if (type === 0) this.varint();
    else if (type === 2) this.bytes();
    else if (type === 1 || type === 5) {
      this.#position += type === 1 ? 8 : 4;
      if (this.#position > this.#end) throw new RangeError('a fixed-size field is truncated');
    } else throw new RangeError(`wire type ${type} is unknown`);
  }
}
