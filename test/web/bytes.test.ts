/** The tools of a browser do with bytes what Node's do. */
import { describe, expect, it } from 'vitest';
import { TOOLS, WEB_TOOLS } from '../../src/core/bytes.js';
import { fc } from '../fixtures/property.js';
import { thrown } from '../fixtures/transports.js';

const bytes = fc.uint8Array({ maxLength: 200 }).map((content) => Buffer.from(content));
/** Also with halves of characters, and with byte order marks. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ maxLength: 60 }),
  fc.constantFrom('\ufeff', '\ufeffa\ufeff', '\ud800', 'a\udc00b'),
);
/** Much of it well-formed, with pieces cut out of characters. */
const almostText = fc
  .tuple(text, fc.nat({ max: 8 }), bytes)
  .map(([content, cut, rest]) =>
    Buffer.concat([Buffer.from(content).subarray(cut), rest.subarray(0, cut)]),
  );

const equal = (web: Uint8Array, node: Uint8Array): void => {
  expect(Buffer.from(web).toString('hex')).toBe(Buffer.from(node).toString('hex'));
  expect(Object.getPrototypeOf(web)).toBe(Uint8Array.prototype);
};

describe('the tools of a browser', () => {
  it('are not those of Node.js', () => {
    expect(TOOLS).not.toBe(WEB_TOOLS);
    expect(Buffer.isBuffer(TOOLS.encode('a'))).toBe(true);
  });

  it('text becomes the same bytes, and as many as were told', () => {
    fc.assert(
      fc.property(text, fc.nat({ max: 5 }), (content, at) => {
        equal(WEB_TOOLS.encode(content), TOOLS.encode(content));
        expect(WEB_TOOLS.textBytes(content)).toBe(TOOLS.textBytes(content));
        const [web, node] = [
          WEB_TOOLS.allocate(at + 3 * content.length),
          Buffer.alloc(at + 3 * content.length),
        ];
        expect(WEB_TOOLS.writeText(web, at, content)).toBe(TOOLS.writeText(node, at, content));
        equal(web, node);
      }),
      { numRuns: 1_000 },
    );
  });

  it('bytes become the same text, whether they are text or not', () => {
    fc.assert(
      fc.property(
        fc.oneof(bytes, almostText),
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

  it('BAD_OPTION: other encodings, with those that there are', () => {
    expect(thrown(() => WEB_TOOLS.decode(Buffer.alloc(1), 0, 1, 'hex'))).toMatchObject({
      code: 'BAD_OPTION',
      message: `encoding: given "hex", expected 'utf8' or 'latin1' in a browser`,
    });
  });

  it('a pattern is found at the same place', () => {
    const few = fc.uint8Array({ maxLength: 60, max: 2 });
    fc.assert(
      fc.property(
        few,
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

  it('copies are copies, what is wrapped is none, and new bytes are zeros', () => {
    equal(WEB_TOOLS.allocate(7), Buffer.alloc(7));
    const mine = Uint8Array.of(1, 2, 3);
    const [copy, wrapped] = [WEB_TOOLS.copy(mine.subarray(1)), WEB_TOOLS.wrap(mine.buffer)];
    mine[1] = 9;
    equal(copy, Uint8Array.of(2, 3));
    equal(wrapped, Uint8Array.of(1, 9, 3));
  });
});
