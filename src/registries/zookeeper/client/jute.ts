/**
 * Jute, ZooKeeper's serialization. Numbers are big-endian. Strings, buffers and vectors begin with
 * their length.
 */
import { gettyError } from '../../../core/errors.js';

/** The least bytes of a string: its length prefix. */
export const MIN_STRING_BYTES = 4;

export interface Vector<T> {
  /** The first ones. */
  readonly elements: T[];
  /** How many the server has sent. */
  readonly count: number;
}

/**
 * Reads a frame of a server. It checks every length against the remaining bytes before it allocates
 * anything. Throws BAD_FRAME.
 */
export class JuteReader {
  readonly #bytes: Buffer;
  #at = 0;

  /** buffer() returns views of `bytes`. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The remaining bytes. */
  get rest(): number {
    return this.#bytes.length - this.#at;
  }

  int(): number {
    return this.#bytes.readInt32BE(this.#take(4, 'a number'));
  }

  long(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8, 'a long number'));
  }

  bool(): boolean {
    return this.#bytes[this.#take(1, 'a boolean')] !== 0;
  }

  /** A null buffer (length -1) is read as an empty one. */
  buffer(): Buffer {
    const length = this.#length('a buffer');
    const from = this.#take(length, 'a buffer');
    return this.#bytes.subarray(from, from + length);
  }

  string(): string {
    return this.buffer().toString('utf8');
  }

  /**
   * `minBytes`: the least bytes of an element, so that a forged count is found before the elements
   * are read. `maxCount`: the most elements that are read; the rest can then not be read.
   */
  vector<T>(minBytes: number, read: () => T, maxCount = Number.POSITIVE_INFINITY): Vector<T> {
    const count = this.#length('a vector');
    if (count * minBytes > this.rest) throw badFrame(`a vector of ${count} elements`, this.rest);
    const elements: T[] = [];
    for (let left = Math.min(count, maxCount); left > 0; left--) elements.push(read());
    return { elements, count };
  }

  #length(what: string): number {
    const length = this.int();
    if (length < -1) throw badFrame(`${what} of length ${length}`, this.rest);
    return Math.max(0, length);
  }

  #take(count: number, what: string): number {
    if (count > this.rest) throw badFrame(`${what} of ${count} bytes`, this.rest);
    const from = this.#at;
    this.#at += count;
    return from;
  }
}

function badFrame(what: string, rest: number): Error {
  return gettyError(
    'BAD_FRAME',
    `the ZooKeeper server announces ${what}, but ${rest} bytes are left`,
  );
}

const INITIAL_BYTES = 256;

export class JuteWriter {
  #bytes = Buffer.allocUnsafe(INITIAL_BYTES);
  #length = 0;

  /** The bytes that were written. Do not use the writer afterwards. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  int(value: number): void {
    const at = this.#reserve(4);
    this.#bytes.writeInt32BE(value, at);
  }

  long(value: bigint): void {
    const at = this.#reserve(8);
    this.#bytes.writeBigInt64BE(value, at);
  }

  bool(value: boolean): void {
    const at = this.#reserve(1);
    this.#bytes[at] = value ? 1 : 0;
  }

  buffer(value: Uint8Array): void {
    this.int(value.length);
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
  }

  string(value: string): void {
    this.buffer(Buffer.from(value));
  }

  vector<T>(values: readonly T[], write: (value: T) => void): void {
    this.int(values.length);
    for (const value of values) write(value);
  }

  /**
   * Returns where the reserved bytes begin. It may replace `#bytes`, so call it before `#bytes` is
   * used.
   */
  #reserve(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
    }
    return at;
  }
}
