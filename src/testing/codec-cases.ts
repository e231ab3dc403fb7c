/** codecCases(): the rules of Codec as test cases. */
import { codeOf } from '../core/errors.js';
import { badOption, checkNames, checkNumber, type NamesOf, withDefaults } from '../core/options.js';
import { SESSION_DEFAULTS } from '../transport/index.js';
import type { Codec } from '../transport/types.js';
import { describeError, fail } from './assertion.js';
import { copyContent, equalContent } from './byte-content.js';
import { CodecDriver } from './codec-driver.js';
import { expectMessages } from './codec-expectation.js';
import { garbageFor, splitPoints } from './codec-input.js';

/** A test case for any test runner. */
export interface TestCase {
  /** What the case checks, as a statement: `message 1: arrives as it was sent`. */
  readonly name: string;
  /** Throws an AssertionError of `node:assert` if the code under test fails the case. */
  readonly run: () => void;
}

/** Options of codecCases(). Sizes are in bytes. */
export interface CodecCasesOptions<In = unknown, Out = In> {
  /**
   * The limit of the sessions that the cases use. Each message must fit. From 1 to 2,147,483,647.
   * Default: that of SessionOptions, 1,048,576 (1 MiB).
   */
  maxMessageBytes?: number | undefined;
  /**
   * Whether the codec finds the boundaries of messages in a stream of bytes. `false` for a codec
   * that is used only over UDP or WebSocket: the cases with several chunks, several messages,
   * incomplete or too large messages are left out. Default: true.
   */
  framing?: boolean | undefined;
  /**
   * Whether equal messages have equal bytes. `false` for a codec that adds a time or a number: that
   * case is left out. Default: true.
   */
  deterministic?: boolean | undefined;
  /** Determines the random bytes. Default: 1. */
  seed?: number | undefined;
  /** How many random inputs the case with garbage reads. From 0. Default: 300. */
  garbageInputs?: number | undefined;
  /**
   * Whether a received message equals the sent one. Default: a deep comparison in which a Buffer
   * equals a Uint8Array with the same bytes.
   */
  equals?: ((sent: Out, received: In) => boolean) | undefined;
  /**
   * Whether read() may throw this error for invalid bytes. Default: each Error, except TypeError,
   * RangeError and ReferenceError, which usually are faults of the codec. The TypeError of
   * TextDecoder is allowed.
   */
  isProtocolError?: ((error: unknown) => boolean) | undefined;
}

const OPTION_NAMES = {
  maxMessageBytes: true,
  framing: true,
  deterministic: true,
  seed: true,
  garbageInputs: true,
  equals: true,
  isProtocolError: true,
} satisfies NamesOf<CodecCasesOptions>;

/** Sizes are in bytes. */
export const CODEC_CASES_DEFAULTS = {
  maxMessageBytes: SESSION_DEFAULTS.maxMessageBytes,
  framing: true as boolean,
  deterministic: true as boolean,
  seed: 1,
  garbageInputs: 300,
  equals: equalContent,
  isProtocolError: (error: unknown): boolean =>
    error instanceof Error &&
    (!(
      error instanceof TypeError ||
      error instanceof RangeError ||
      error instanceof ReferenceError
    ) ||
      (error as { code?: unknown }).code === 'ERR_ENCODING_INVALID_ENCODED_DATA'),
} satisfies CodecCasesOptions;

/** The codes of a message that exceeds maxMessageBytes. */
const LIMIT_CODES: readonly unknown[] = ['MESSAGE_TOO_LARGE', 'BAD_FRAME'];

/**
 * Returns test cases for a codec. `messages`: at least one message that the codec can write and
 * read, with different sizes and contents. Several messages find more faults than one.
 *
 * ```ts
 * for (const { name, run } of codecCases(myCodec, ['', 'hello'])) test(name, run);
 * ```
 *
 * The cases: a message arrives as it was sent, also in two chunks with each boundary (256 of them
 * if it has more than 4,096 bytes) and byte by byte; several messages in one chunk arrive
 * separately; an incomplete message gives no message and no error; a message above maxMessageBytes
 * is an error; random and damaged bytes end with messages, with an error that isProtocolError
 * accepts, or with the wait for more bytes; write() gives equal bytes for equal messages; write()
 * neither changes a message nor keeps its bytes.
 *
 * The sessions that the codec gets are not connected. Throws BAD_OPTION.
 */
export function codecCases<In, Out = In>(
  codec: Codec<In, Out>,
  messages: readonly Out[],
  options: CodecCasesOptions<In, Out> = {},
): TestCase[] {
  if (typeof codec?.read !== 'function' || typeof codec.write !== 'function')
    throw badOption('codec', codec, 'an object with read and write');
  if (!Array.isArray(messages) || messages.length === 0)
    throw badOption('messages', messages, 'an array of at least one message');
  checkNames('codecCases()', options, OPTION_NAMES);
  const settings = withDefaults(CODEC_CASES_DEFAULTS, options as typeof CODEC_CASES_DEFAULTS, {
    maxMessageBytes: [1, 2 ** 31 - 1, 'integer'],
    seed: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 'integer'],
  });
  checkNumber('garbageInputs', settings.garbageInputs, 0, 1_000_000, 'integer');
  return new CodecCases(codec, messages, settings).list();
}

class CodecCases<In, Out> {
  readonly #codec: Codec<In, Out>;
  readonly #messages: readonly Out[];
  readonly #settings: typeof CODEC_CASES_DEFAULTS;
  readonly #driver: CodecDriver<In, Out>;

  constructor(
    codec: Codec<In, Out>,
    messages: readonly Out[],
    settings: typeof CODEC_CASES_DEFAULTS,
  ) {
    this.#codec = codec;
    this.#messages = messages;
    this.#settings = settings;
    this.#driver = new CodecDriver(codec, settings.maxMessageBytes);
  }

  list(): TestCase[] {
    const { framing, deterministic } = this.#settings;
    const cases = this.#messages.flatMap((message, at) => {
      const of = (what: string, run: () => void): TestCase => {
        return { name: `message ${at + 1}: ${what}`, run };
      };
      const list = [of('arrives as it was sent', () => this.#roundTrip(message))];
      // Before the next case, which fails too if write() is not deterministic.
      if (deterministic)
        list.push(of('has the same bytes each time', () => this.#determinism(message)));
      list.push(of('is not changed by write()', () => this.#unchanged(message)));
      if (!framing) return list;
      return [
        ...list,
        of('is an error above maxMessageBytes', () => this.#overTheLimit(message)),
        of('arrives in two chunks, for each boundary', () => this.#everySplit(message)),
        of('arrives byte by byte', () => this.#byteByByte(message)),
        of('is awaited while it is incomplete', () => this.#cutOff(message)),
      ];
    });
    if (framing)
      cases.push({ name: 'all messages arrive from one chunk', run: () => this.#oneChunk() });
    cases.push({
      name: 'random and damaged bytes end with messages, an error or a wait',
      run: () => this.#garbage(),
    });
    return cases;
  }

  #roundTrip(message: Out): void {
    this.#expectMessages([message], [this.#driver.encode([message])], 'in one chunk');
  }

  #everySplit(message: Out): void {
    const bytes = this.#driver.encode([message]);
    for (const at of splitPoints(bytes.length, this.#settings.seed)) {
      const chunks = [bytes.subarray(0, at), bytes.subarray(at)];
      this.#expectMessages([message], chunks, `in chunks of ${at} and ${bytes.length - at} bytes`);
    }
  }

  #byteByByte(message: Out): void {
    const bytes = this.#driver.encode([message]);
    this.#expectMessages(
      [message],
      Array.from(bytes, (byte) => Uint8Array.of(byte)),
      `in ${bytes.length} chunks of 1 byte`,
    );
  }

  #cutOff(message: Out): void {
    const bytes = this.#driver.encode([message]);
    for (const length of splitPoints(bytes.length, this.#settings.seed)) {
      if (length === bytes.length) continue;
      const where = `from the first ${length} of its ${bytes.length} bytes`;
      this.#expectMessages([], [bytes.subarray(0, length)], where, true);
    }
  }

  #oneChunk(): void {
    // Twice, so that the list has each message behind another one too.
    const all = [...this.#messages, ...this.#messages];
    const bytes = this.#driver.encode(all);
    this.#expectMessages(all, [bytes], 'in one chunk');
    const half = bytes.length >> 1;
    this.#expectMessages(all, [bytes.subarray(0, half), bytes.subarray(half)], 'in two chunks');
  }

  #overTheLimit(message: Out): void {
    const bytes = this.#driver.encode([message]);
    // A limit of 0 bytes does not exist.
    if (bytes.length < 2) return;
    const limited = new CodecDriver(this.#codec, bytes.length - 1);
    const { messages, error } = limited.decode([bytes]);
    if (messages.length === 0 && error !== undefined && this.#isLimitError(error)) return;
    fail(
      `a message of ${bytes.length} bytes with maxMessageBytes ${bytes.length - 1}: ${
        messages.length > 0 ? 'read() returned it' : `got ${describeError(error)}`
      }, expected an Error that isProtocolError accepts, or MESSAGE_TOO_LARGE or BAD_FRAME`,
      LIMIT_CODES[0],
      codeOf(error),
    );
  }

  /** A session reports an error of read() without a code as BAD_FRAME. */
  #isLimitError(error: unknown): boolean {
    const code = codeOf(error);
    return code === undefined ? this.#settings.isProtocolError(error) : LIMIT_CODES.includes(code);
  }

  #determinism(message: Out): void {
    const first = this.#driver.encode([message]);
    const second = this.#driver.encode([message]);
    if (!equalContent(first, second))
      fail('write() gave other bytes for the same message', first, second);
  }

  #unchanged(message: Out): void {
    const before = copyContent(message);
    this.#driver.encode([message]);
    if (!equalContent(before, message)) fail('write() changed the message', before, message);
  }

  #garbage(): void {
    const { seed, garbageInputs, isProtocolError, maxMessageBytes } = this.#settings;
    const samples = this.#messages.map((message) => this.#driver.encode([message]));
    for (const chunks of garbageFor(samples, garbageInputs, seed, maxMessageBytes)) {
      const { error } = this.#driver.decode(chunks);
      if (error !== undefined && !isProtocolError(error)) {
        const hex = Buffer.concat(chunks).toString('hex');
        fail(
          `read() threw ${describeError(error)} for the bytes ${hex.length > 400 ? `${hex.slice(0, 400)}…` : hex} (seed ${seed})`,
          'an error that isProtocolError accepts',
          error,
        );
      }
    }
  }

  /** `isIncomplete`: bytes may be left over. */
  #expectMessages(
    sent: readonly Out[],
    chunks: readonly Uint8Array[],
    where: string,
    isIncomplete = false,
  ): void {
    const equals = this.#settings.equals as (sent: Out, received: In) => boolean;
    expectMessages(sent, this.#driver.decode(chunks), equals, where, isIncomplete);
  }
}
