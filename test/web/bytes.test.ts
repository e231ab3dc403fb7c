/** Compares WEB_TOOLS, the byte operations of a page, with those of Node.js. */
import { describe, expect, it } from 'vitest';
import { TOOLS, WEB_TOOLS } from '../../src/core/bytes.js';
import { fc } from '../fixtures/property.js';
import { thrown } from '../fixtures/transports.js';

const bytes = fc.uint8Array({ maxLength: 200 }).map((content) => Buffer.from(content));
/** Includes lone surrogates and byte order marks. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ maxLength: 60 }),
  fc.constantFrom('\ufeff', '\ufeffa\ufeff', '\ud800', 'a\udc00b'),
);
/** Mostly valid UTF-8, with incomplete characters at the start and at the end. */
const damagedText = fc
  .tuple(text, fc.nat({ max: 8 }), bytes)
  .map(([content, cut, rest]) =>
    Buffer.concat([Buffer.from(content).subarray(cut), rest.subarray(0, cut)]),
  );

const expectEqual = (web: Uint8Array, node: Uint8Array): void => {
  expect(Buffer.from(web).toString('hex')).toBe(Buffer.from(node).toString('hex'));
  expect(Object.getPrototypeOf(web)).toBe(Uint8Array.prototype);
};

describe('WEB_TOOLS', () => {
  it('is not the implementation that Node.js uses', () => {
    expect(TOOLS).not.toBe(WEB_TOOLS);
    expect(Buffer.isBuffer(TOOLS.encode('a'))).toBe(true);
  });

  it('encode() and writeText() make the same bytes, and textBytes() their number', () => {
    fc.assert(
      fc.property(text, fc.nat({ max: 5 }), (content, at) => {
        expectEqual(WEB_TOOLS.encode(content), TOOLS.encode(content));
        expect(WEB_TOOLS.textBytes(content)).toBe(TOOLS.textBytes(content));
        const [web, node] = [
          WEB_TOOLS.allocate(at + 3 * content.length),
          Buffer.alloc(at + 3 * content.length),
        ];
        expect(WEB_TOOLS.writeText(web, at, content)).toBe(TOOLS.writeText(node, at, content));
        expectEqual(web, node);
      }),
      { numRuns: 1_000 },
    );
  });

  it('decode() makes the same text, also of invalid UTF-8', () => {
    fc.assert(
      fc.property(
        fc.oneof(bytes, damagedText),
        fc.nat({ max: 10 }),
        fc.nat({ max: 10 }),
        (content, start, left) => {
          const end = Math.max(start, content.length - left);
          expect(WEB_TOOLS.decode(content, start, end)).toBe(TOOLS.decode(content, start, end));
          expect(WEB_TOOLS.decode(content, start, end, 'latin1')).toBe(
            TOOLS.decode(content, start, end, 'latin1'),
          );
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('decode() rejects another encoding with BAD_OPTION, and names the two that exist', () => {
    expect(thrown(() => WEB_TOOLS.decode(Buffer.alloc(1), 0, 1, 'hex'))).toMatchObject({
      code: 'BAD_OPTION',
      message: `encoding: got "hex", expected 'utf8' or 'latin1' in a browser`,
    });
  });

  it('find() finds a pattern at the same index', () => {
    const twoValues = fc.uint8Array({ maxLength: 60, max: 2 });
    fc.assert(
      fc.property(
        twoValues,
        fc.uint8Array({ minLength: 1, maxLength: 4, max: 2 }),
        fc.nat({ max: 70 }),
        (content, pattern, from) => {
          const web = new Uint8Array(content) as Buffer;
          expect(WEB_TOOLS.find(web, pattern, from)).toBe(
            TOOLS.find(Buffer.from(content), pattern, from),
          );
          expect(WEB_TOOLS.find(web, pattern[0] as number, from)).toBe(
            TOOLS.find(Buffer.from(content), pattern[0] as number, from),
          );
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('allocate() returns zeros, copy() copies, and wrap() does not', () => {
    expectEqual(WEB_TOOLS.allocate(7), Buffer.alloc(7));
    const source = Uint8Array.of(1, 2, 3);
    const [copy, wrapped] = [WEB_TOOLS.copy(source.subarray(1)), WEB_TOOLS.wrap(source.buffer)];
    source[1] = 9;
    expectEqual(copy, Uint8Array.of(2, 3));
    expectEqual(wrapped, Uint8Array.of(1, 9, 3));
    expectEqual(WEB_TOOLS.wrap(source.buffer, 1), Uint8Array.of(9, 3));
    expectEqual(WEB_TOOLS.wrap(source.buffer, 1, 1), Uint8Array.of(9));
    const node = TOOLS.wrap(source.buffer, 1, 1);
    expect(node).toStrictEqual(Buffer.of(9));
    expect(Object.getPrototypeOf(node)).toBe(Buffer.prototype);
    for (const { wrap } of [TOOLS, WEB_TOOLS])
      expect(() => wrap(source.buffer, 1, 3)).toThrow(RangeError);
  });
});
