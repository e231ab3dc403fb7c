/** delimiter(): where a message ends, and which messages it does not write. */
import { expect, it, vi } from 'vitest';
import { delimiter } from '../../../src/transport/index.js';
import { cut, cuts, decode, encode, everySplit } from '../../fixtures/chunks.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { fc } from '../../fixtures/property.js';
import { thrown } from '../../fixtures/transports.js';

noLeaks();

it.each([
  ['\r\n', 'a\r\nb\r\n', ['a', 'b']],
  ['\r\n', 'a\rb\nc\r\n', ['a\rb\nc']],
  ['\r\n', '\r\r\n\n\r\n', ['\r', '\n']],
  ['\r\n', '\r\n\r\n', ['', '']],
  ['aab', 'aaabaab', ['a', '']],
  ['--', 'a-b--c---', ['a-b', 'c']],
  ['ü', 'süß üü', ['s', 'ß ', '']],
  [Uint8Array.of(0), 'a\0b', ['a']],
])('with the delimiter %j reads %j as %j at every split', (mark, wire, expected) => {
  for (const chunks of everySplit(Buffer.from(wire)))
    expect(decode(delimiter(mark), chunks).map(String)).toEqual(expected);
});

it.each([
  ['\n', 'one\ntwo'],
  ['\r\n', '\r\n'],
  // The reader searches from the left, and would find these too early.
  ['aa', 'xa'],
  ['--', 'one-'],
  ['abab', 'xab'],
])(
  'with the delimiter %j throws ENCODE_FAILED for %j, which would not arrive unchanged',
  (mark, text) => {
    expect(thrown(() => encode(delimiter(mark), [Buffer.from(text)]))).toMatchObject({
      code: 'ENCODE_FAILED',
      message: expect.stringContaining('delimiter'),
    });
  },
);

it('reads what it has written, or throws ENCODE_FAILED', () => {
  const unit = fc.constantFrom('a', 'b', '-');
  fc.assert(
    fc.property(
      fc.string({ unit, minLength: 1, maxLength: 4 }),
      fc.array(fc.string({ unit, maxLength: 8 }), { maxLength: 5 }),
      cuts,
      (mark, texts, places) => {
        const codec = delimiter(mark);
        const written: string[] = [];
        const wire: Buffer[] = [];
        for (const text of texts) {
          try {
            wire.push(encode(codec, [Buffer.from(text)]));
            written.push(text);
          } catch (error) {
            expect((error as { code: string }).code).toBe('ENCODE_FAILED');
          }
        }
        expect(decode(codec, cut(Buffer.concat(wire), places)).map(String)).toEqual(written);
      },
    ),
    { numRuns: 500 },
  );
});

it('copies the delimiter: a later change of it has no effect', () => {
  const mark = Buffer.from('||');
  const codec = delimiter(mark);
  mark.fill('!');
  expect(encode(codec, [Buffer.from('a')]).toString()).toBe('a||');
});

it('reads a message in one chunk as a view of the chunk', () => {
  const wire = Buffer.from('abc\r\n');
  expect(decode(delimiter('\r\n'), [wire])[0]?.buffer).toBe(wire.buffer);
});

it.each(['\n', '\r\n', '--a-long-delimiter--'])(
  'with the delimiter %j searches each byte once',
  (mark) => {
    const size = 200_000;
    const step = 50;
    const wire = Buffer.concat([
      Buffer.alloc(size, mark[0] === '-' ? '-' : 'x'),
      Buffer.from(mark),
    ]);
    let searched = 0;
    const { indexOf } = Buffer.prototype;
    const spy = vi.spyOn(Buffer.prototype, 'indexOf').mockImplementation(function (
      this: Buffer,
      ...given: unknown[]
    ) {
      searched += this.length - Number(given[1] ?? 0);
      return (indexOf as (...given: unknown[]) => number).apply(this, given);
    });
    try {
      const chunks: Buffer[] = [];
      for (let at = 0; at < wire.length; at += step)
        chunks.push(Buffer.from(wire.subarray(at, at + step)));
      expect(decode(delimiter(mark), chunks).map((message) => message.length)).toEqual([size]);
      expect(searched).toBeGreaterThanOrEqual(size);
      expect(searched).toBeLessThanOrEqual(wire.length + chunks.length * (mark.length - 1));
    } finally {
      spy.mockRestore();
    }
  },
);

it.each([
  ['', 'got ""'],
  [new Uint8Array(0), 'got an object'],
  [undefined, 'got undefined'],
  [null, 'got null'],
  [7, 'got 7'],
  [{}, 'got an object'],
])('rejects %o with BAD_OPTION', (given, text) => {
  expect(thrown(() => delimiter(given as never))).toMatchObject({
    code: 'BAD_OPTION',
    message: expect.stringContaining(`delimiter: ${text}`),
  });
});
