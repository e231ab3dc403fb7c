/**
 * Jute, ZooKeeper's serialization: big-endian numbers; strings, buffers and vectors with their
 * length before them.
 */
import { gettyError } from '../../core/errors.js';

/**
 * Reads what a server sent. Every length is checked against the bytes that are there before
 * anything is made of it; throws BAD_FRAME.
 */
export class JuteReader {
  readonly #bytes: Buffer;
  #at = 0;

  /** Buffers that are read are views of `bytes`. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

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

  /** A buffer that is null on the wire is an empty one. */
  buffer(): Buffer {
    const length = this.#length('a buffer');
    const from = this.#take(length, 'a buffer');
    return this.#bytes.subarray(from, from + length);
  }

  string(): string {
    return this.buffer().toString('utf8');
  }

  /**
   * `least`: the fewest bytes that an element can take, so that a forged count is seen before an
   * array is made for it.
   */
  vector<T>(least: number, read: () => T): T[] {
    const count = this.#length('a vector');
    if (count * least > this.rest) throw badFrame(`a vector of ${count} elements`, this.rest);
    const elements: T[] = [];
    for (let i = 0; i < count; i++) elements.push(read());
    return elements;
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
    `the ZooKeeper server announces ${what}, and ${rest} bytes are left`,
  );
}

const FIRST_SIZE = 256;

export class JuteWriter {
  #bytes = Buffer.allocUnsafe(FIRST_SIZE);
  #length = 0;

  /** What is written so far; the writer must not be used after. */
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

  /** Where the room begins. `#bytes` may be another buffer after it, so ask for the room first. */
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
