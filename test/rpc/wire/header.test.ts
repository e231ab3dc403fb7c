/**
 * The rpc headers: what is written is read back, in both codecs, and what Go wrote or a stranger
 * made up is taken or refused.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CodecName, type RpcCode, RpcError } from '../../../src/rpc/index.js';
import {
  CALL_TYPE,
  readRequestHeader,
  writeConstantRequestHeader,
  writeVariableRequestHeader,
} from '../../../src/rpc/wire/request-header.js';
import {
  isPlainSuccess,
  readResponseError,
  writeResponseHeader,
} from '../../../src/rpc/wire/response-header.js';
import { FieldReader, writeVarint } from '../../../src/rpc/wire/varint.js';
import { ByteWriter } from '../../../src/transport/buffers/byte-writer.js';

const CODECS: readonly CodecName[] = ['json', 'protobuf'];
const RUNS = { seed: 2, numRuns: 300 };
const CODES: readonly RpcCode[] = [
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

function written(write: (output: ByteWriter) => void): Buffer {
  const output = new ByteWriter(16);
  write(output);
  return Buffer.from(output.bytes.subarray(0, output.length));
}

/** Text of every kind: ASCII, what JSON escapes, two to four bytes in UTF-8, emoji. */
const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.constantFrom('', '"\\\n\u0000', '𝒳é漢', '__proto__', 'x'.repeat(200)),
);
const metadata = fc.dictionary(
  fc.oneof(text, fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty')),
  text,
  {
    maxKeys: 5,
    noNullPrototype: false,
  },
);
/** A dictionary whose every key is its own, also `__proto__`. */
const own = (map: Readonly<Record<string, string>> | undefined): [string, string][] =>
  Object.entries(map ?? {}).sort();

describe.each(CODECS)('a request header in %s', (codec) => {
  test('reads back what was written', () => {
    fc.assert(
      fc.property(
        fc.record({
          service: text,
          method: text,
          callType: fc.constantFrom(...Object.values(CALL_TYPE)),
          version: text,
          timeout: fc.option(fc.integer({ min: 0, max: 0xffff_ffff }), { nil: undefined }),
          metadata: fc.option(metadata, { nil: undefined }),
        }),
        (head) => {
          const bytes = written((output) => {
            writeConstantRequestHeader(
              output,
              codec,
              head.service,
              head.method,
              head.version,
              head.callType,
            );
            writeVariableRequestHeader(output, codec, head.timeout, head.metadata);
          });
          const found = readRequestHeader(
            codec,
            Buffer.concat([Buffer.from('xx'), bytes, Buffer.from('yy')]),
            2,
            bytes.length + 2,
          );
          expect({ ...found, metadata: own(found.metadata) }).toEqual({
            ...head,
            metadata: own(head.metadata),
          });
          if (codec === 'json') JSON.parse(bytes.toString());
        },
      ),
      RUNS,
    );
  });

  test('received metadata has no prototype', () => {
    const map = JSON.parse('{"__proto__":"a","toString":"b"}') as Record<string, string>;
    const bytes = written((output) => {
      writeConstantRequestHeader(output, codec, 's', 'm', '', CALL_TYPE.twoWay);
      writeVariableRequestHeader(output, codec, undefined, map);
    });
    const found = readRequestHeader(codec, bytes, 0, bytes.length).metadata as object;
    expect(Object.getPrototypeOf(found)).toBeNull();
    expect(Object.getOwnPropertyNames(found).sort()).toEqual(['__proto__', 'toString']);
  });
});

describe.each(CODECS)('a response header in %s', (codec) => {
  test('reads back code, message, metadata and details', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...CODES),
        text,
        metadata,
        fc.option(fc.uint8Array({ maxLength: 50 }), { nil: undefined }),
        (code, message, metadata, details) => {
          const error = new RpcError(code, message, { metadata, details });
          const bytes = written((output) => writeResponseHeader(output, codec, error));
          const found = readResponseError(codec, bytes, 0, bytes.length);
          expect([found.code, found.message, own(found.metadata)]).toEqual([
            code,
            message,
            own(metadata),
          ]);
          expect(found.details && [...found.details]).toEqual(details && [...details]);
        },
      ),
      RUNS,
    );
  });

  test('a success is that of Go, and known by its length', () => {
    const bytes = written((output) => writeResponseHeader(output, codec, undefined));
    expect(bytes.toString('latin1')).toBe(codec === 'json' ? '{"Error":""}' : '\n\0');
    expect(isPlainSuccess(codec, bytes.length)).toBe(true);
    expect(isPlainSuccess(codec, 0)).toBe(true);
    expect(
      isPlainSuccess(
        codec,
        written((output) => writeResponseHeader(output, codec, new RpcError('INTERNAL', '')))
          .length,
      ),
    ).toBe(false);
  });

  test('an error without more is that of Go', () => {
    const bytes = written((output) =>
      writeResponseHeader(output, codec, new RpcError('UNKNOWN', 'no')),
    );
    expect(bytes.toString('latin1')).toBe(codec === 'json' ? '{"Error":"no"}' : '\n\x02no');
  });

  test.each([17, 99, -1, 1.5, 0, 2 ** 31])('code %d, which is in no list, is UNKNOWN', (number) => {
    const bytes =
      codec === 'json'
        ? Buffer.from(JSON.stringify({ Error: 'e', Code: number }))
        : Buffer.concat([
            Buffer.from('\n\x01e\x50'),
            written((output) => writeVarint(output, number)),
          ]);
    const found = readResponseError(codec, bytes, 0, bytes.length);
    expect([found.code, found.message]).toEqual([
      codec === 'protobuf' && number === 1.5 ? 'CANCELLED' : 'UNKNOWN',
      'e',
    ]);
  });
});

describe('headers that others wrote', () => {
  const json = (head: unknown): unknown => {
    const bytes = Buffer.from(typeof head === 'string' ? head : JSON.stringify(head));
    return readRequestHeader('json', bytes, 0, bytes.length);
  };

  test('the call type may be its number', () => {
    expect(json({ Service: 's', Method: 'm', CallType: 3 })).toMatchObject({
      callType: CALL_TYPE.twoWayNoReply,
    });
    expect(json({ Service: 's', Method: 'm', CallType: 'CT_OneWay' })).toMatchObject({
      callType: CALL_TYPE.oneWay,
    });
  });

  test('unknown fields are passed over', () => {
    expect(
      json({ Future: { a: [1] }, Service: 's', Method: 'm', CallType: 'CT_TwoWay', Other: null }),
    ).toMatchObject({
      service: 's',
      method: 'm',
      callType: 2,
    });
    const unknown = Buffer.from([
      0x0a, 1, 0x73, 0x98, 0x06, 0x05, 0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8, 0xaa, 0x06, 2, 9, 9,
      0xb5, 0x06, 1, 2, 3, 4, 0x12, 1, 0x6d, 0x18, 2,
    ]);
    expect(readRequestHeader('protobuf', unknown, 0, unknown.length)).toMatchObject({
      service: 's',
      method: 'm',
      callType: 2,
    });
  });

  test.each([
    '',
    'null',
    '1',
    '"text"',
    '[]',
    '{',
    '{}',
    '{"Service":"s"}',
    '{"Service":1,"Method":"m","CallType":2}',
    '{"Service":"s","Method":"m"}',
    '{"Service":"s","Method":["m"],"CallType":2}',
  ])('JSON %j is no request header', (text) => {
    expect(() => json(text)).toThrow();
  });

  test('extension fields of a wrong kind count as absent', () => {
    expect(
      json({ Service: 's', Method: 'm', CallType: 2, Timeout: '5', Version: 7, Metadata: 'x' }),
    ).toMatchObject({
      timeout: undefined,
      version: '',
      metadata: undefined,
    });
    expect(
      json({ Service: 's', Method: 'm', CallType: 2, Timeout: -1, Metadata: { a: 1, b: 'c' } }),
    ).toMatchObject({
      timeout: undefined,
      metadata: { b: 'c' },
    });
  });

  test('a timeout that no timer takes is still a finite number', () => {
    const { timeout } = json('{"Service":"s","Method":"m","CallType":2,"Timeout":1e999}') as {
      timeout: number | undefined;
    };
    expect(timeout === undefined || Number.isFinite(timeout)).toBe(true);
  });

  test('random bytes are read or refused, and nothing else', () => {
    fc.assert(
      fc.property(fc.constantFrom(...CODECS), fc.uint8Array({ maxLength: 80 }), (codec, array) => {
        const bytes = Buffer.from(array);
        for (const read of [readRequestHeader, readResponseError]) {
          try {
            read(codec, bytes, 0, bytes.length);
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
          }
        }
      }),
      { seed: 3, numRuns: 2000 },
    );
  });
});

describe('varints', () => {
  test('every uint32 comes back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (value) => {
        const bytes = written((output) => writeVarint(output, value));
        expect(bytes.length).toBeLessThanOrEqual(5);
        expect(new FieldReader(bytes, 0, bytes.length).varint()).toBe(value);
      }),
      { seed: 4 },
    );
    for (const value of [0, 0x7f, 0x80, 0x3fff, 0x4000, 0xffff_ffff])
      expect(
        new FieldReader(
          written((output) => writeVarint(output, value)),
          0,
          5,
        ).varint(),
      ).toBe(value);
  });

  test('a negative int32 takes ten bytes; its low 32 bits are kept', () => {
    const minusOne = Buffer.from('ffffffffffffffffff01', 'hex');
    expect(new FieldReader(minusOne, 0, 10).varint()).toBe(0xffff_ffff);
  });

  test('what is cut off or endless is refused', () => {
    expect(() => new FieldReader(Buffer.from([0x80]), 0, 1).varint()).toThrow(RangeError);
    expect(() => new FieldReader(Buffer.alloc(11, 0x80), 0, 11).varint()).toThrow(RangeError);
    expect(() => new FieldReader(Buffer.from([5, 1]), 0, 2).bytes()).toThrow(RangeError);
    expect(() => new FieldReader(Buffer.from([1, 2]), 0, 2).skip(1)).toThrow(RangeError);
    expect(() => new FieldReader(Buffer.alloc(8), 0, 8).skip(3)).toThrow(RangeError);
  });

  test('a field may not reach beyond the end that was given', () => {
    const bytes = Buffer.from([3, 1, 2, 3]);
    expect([...new FieldReader(bytes, 0, 4).bytes()]).toEqual([1, 2, 3]);
    expect(() => new FieldReader(bytes, 0, 3).bytes()).toThrow(RangeError);
  });
});
