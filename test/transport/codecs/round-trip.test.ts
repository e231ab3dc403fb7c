/** What a ready codec writes, it reads unchanged. It throws ENCODE_FAILED for other messages. */
import { expect, test } from 'vitest';
import { mapCodec } from '../../../src/transport/index.js';
import { BUILDS, type Build } from '../../fixtures/builds.js';
import { decode, encode } from '../../fixtures/chunks.js';
import { fc } from '../../fixtures/property.js';

interface AnyCodec {
  read(input: never, session: never): unknown;
  write(output: never, message: never, session: never): unknown;
}

interface Row {
  readonly codec: AnyCodec;
  /** Some of these messages cannot be encoded. */
  readonly message: fc.Arbitrary<unknown>;
  /** The message as it is expected to arrive. Default: unchanged. */
  readonly expected?: (message: never) => unknown;
}

/** UTF-16 units of every kind. Those with a meaning for a codec are more frequent. */
const text = fc
  .array(
    fc.oneof(
      fc.constantFrom('\r', '\n', '\r\n', '\ufeff', '\ud800', '\udc00', '\0', 'é', '😀', '-'),
      fc.string({ unit: 'binary', maxLength: 4 }),
    ),
    {
      maxLength: 8,
    },
  )
  .map((parts) => parts.join(''));
const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength, max: 4 });
const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

const ROWS: Readonly<Record<string, (build: Build) => Row>> = {
  lines: ({ lines }) => ({ codec: lines(), message: text }),
  'lines through mapCodec': ({ lines }) => ({
    codec: mapCodec<string, string, { text: string }>(
      lines(),
      (line) => ({ text: line }),
      (message) => message.text,
    ),
    message: text.map((line) => ({ text: line })),
  }),
  jsonLines: ({ jsonLines }) => ({
    codec: jsonLines(),
    message: fc.oneof(text, fc.anything()),
    expected: json,
  }),
  delimiter: ({ delimiter }) => ({
    codec: delimiter(new Uint8Array([1, 2, 1])),
    message: bytes(12),
  }),
  'delimiter of one byte': ({ delimiter }) => ({ codec: delimiter('\x03'), message: bytes(6) }),
  fixedLength: ({ fixedLength }) => ({ codec: fixedLength(3), message: bytes(4) }),
  varintPrefixed: ({ varintPrefixed }) => ({ codec: varintPrefixed(), message: bytes(300) }),
  ...Object.fromEntries(
    ([1, 2, 3, 4, 8] as const).map((width) => [
      `lengthPrefixed of ${width}`,
      ({ lengthPrefixed }: Build): Row => ({
        codec: lengthPrefixed({ width }),
        message: bytes(300),
      }),
    ]),
  ),
};

test('every ready codec is in the table', async () => {
  const source = await import('../../../src/transport/codecs/index.js');
  // raw() has no frames: a message is what a read returned.
  const names = Object.keys(source).filter((name) => name !== 'raw' && name !== 'mapCodec');
  for (const name of names)
    expect(Object.keys(ROWS).some((row) => row.startsWith(name))).toBe(true);
});

for (const { name: where, build, bytes: chunk } of BUILDS) {
  test.each(Object.keys(ROWS))(
    `%s ${where}: reads a message unchanged, or throws ENCODE_FAILED`,
    (name) => {
      const {
        codec,
        message,
        expected: expectedOf = (value: never) => value,
      } = (ROWS[name] as (build: Build) => Row)(build);
      fc.assert(
        fc.property(message, message, (first, second) => {
          let written: Uint8Array;
          try {
            written = encode(codec as never, [first as never], undefined, new build.ByteWriter());
          } catch (error) {
            expect((error as { code?: string }).code).toBe('ENCODE_FAILED');
            return;
          }
          // A second message shows that neither takes a byte of the other.
          let both = written;
          let expected = [expectedOf(first as never)];
          try {
            both = Buffer.concat([
              written,
              encode(codec as never, [second as never], undefined, new build.ByteWriter()),
            ]);
            expected = [expectedOf(first as never), expectedOf(second as never)];
          } catch {
            // The second message cannot be encoded.
          }
          const read = decode(codec as never, [chunk(both)], undefined, new build.ByteReader());
          expect(read.map(plain)).toEqual(expected.map(plain));
        }),
      );
    },
  );
}

/** Says that it has more bytes than it has: what is in the buffer behind them would be sent. */
class Longer extends Uint8Array {
  override get length(): number {
    return super.length * 8;
  }
}

const BYTE_CODECS = Object.keys(ROWS).filter((name) =>
  /^(delimiter|fixedLength|varintPrefixed|lengthPrefixed)/.test(name),
);

test.each(['raw', ...BYTE_CODECS])('%s writes nothing but bytes', (name) => {
  for (const { build } of BUILDS) {
    const codec = name === 'raw' ? build.raw() : (ROWS[name] as (build: Build) => Row)(build).codec;
    for (const message of ['abc', [1, 2, 3], { length: 3 }, new Uint16Array(3), new Longer(30)])
      expect(() =>
        encode(codec as never, [message as never], undefined, new build.ByteWriter()),
      ).toThrowError(
        expect.objectContaining({ code: expect.stringMatching(/^(BAD_OPTION|ENCODE_FAILED)$/) }),
      );
  }
});

function plain(value: unknown): unknown {
  return value instanceof Uint8Array ? Array.from(value) : value;
}
