/**
 * The headers of requests and responses in both codecs: written ones, those of Go, and invalid
 * ones.
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
import { writeVarint } from '../../../src/rpc/wire/varint.js';
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

/** Text with ASCII, characters that JSON escapes, and two to four bytes in UTF-8. */
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
/** The own entries, `__proto__` included. */
const ownEntries = (map: Readonly<Record<string, string>> | undefined): [string, string][] =>
  Object.entries(map ?? {}).sort();

describe.each(CODECS)('a request header in %s', (codec) => {
  test('is read as it was written', () => {
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
          expect({ ...found, metadata: ownEntries(found.metadata) }).toEqual({
            ...head,
            metadata: ownEntries(head.metadata),
          });
          if (codec === 'json') JSON.parse(bytes.toString());
        },
      ),
      RUNS,
    );
  });

  test('gives metadata without a prototype', () => {
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
  test('is read with its code, message, metadata and details', () => {
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
          expect([found.code, found.message, ownEntries(found.metadata)]).toEqual([
            code,
            message,
            ownEntries(metadata),
          ]);
          expect(found.details && [...found.details]).toEqual(details && [...details]);
        },
      ),
      RUNS,
    );
  });

  test('has the bytes of Go for a success, which its length identifies', () => {
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

  test('has the bytes of Go for an error with a message only', () => {
    const bytes = written((output) =>
      writeResponseHeader(output, codec, new RpcError('UNKNOWN', 'no')),
    );
    expect(bytes.toString('latin1')).toBe(codec === 'json' ? '{"Error":"no"}' : '\n\x02no');
  });

  test.each([17, 99, -1, 1.5, 0, 2 ** 31])(
    'is read as UNKNOWN with the undefined code %d',
    (number) => {
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
    },
  );
});

describe('a request header of another implementation', () => {
  const json = (head: unknown): unknown => {
    const bytes = Buffer.from(typeof head === 'string' ? head : JSON.stringify(head));
    return readRequestHeader('json', bytes, 0, bytes.length);
  };

  test('may have the call type as a number', () => {
    expect(json({ Service: 's', Method: 'm', CallType: 3 })).toMatchObject({
      callType: CALL_TYPE.twoWayNoReply,
    });
    expect(json({ Service: 's', Method: 'm', CallType: 'CT_OneWay' })).toMatchObject({
      callType: CALL_TYPE.oneWay,
    });
  });

  test('may have unknown fields, which are ignored', () => {
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
  ])('is refused when it is the invalid JSON %j', (text) => {
    expect(() => json(text)).toThrow();
  });

  test('is read without additional fields of a wrong type', () => {
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

  test('has no infinite timeout', () => {
    const { timeout } = json('{"Service":"s","Method":"m","CallType":2,"Timeout":1e999}') as {
      timeout: number | undefined;
    };
    expect(timeout === undefined || Number.isFinite(timeout)).toBe(true);
  });

  test('is read or refused with an Error when it is random bytes', () => {
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

test.each(['json', 'protobuf'] as const)(
  '%s headers have at most 256 keys of metadata',
  (codec) => {
    const headersWith = (count: number): [Buffer, Buffer] => {
      const metadata = Object.fromEntries(Array.from({ length: count }, (_, i) => [`key${i}`, '']));
      const [request, response] = [new ByteWriter(), new ByteWriter()];
      writeConstantRequestHeader(request, codec, 'S', 'm', '', 0);
      writeVariableRequestHeader(request, codec, undefined, metadata);
      writeResponseHeader(response, codec, undefined, metadata);
      return [Buffer.from(request.written), Buffer.from(response.written)];
    };
    const [request, response] = headersWith(256);
    expect(readRequestHeader(codec, request, 0, request.length)).toMatchObject({ method: 'm' });
    expect(readResponseError(codec, response, 0, response.length).message).toBe('');
    const [larger, longer] = headersWith(257);
    expect(() => readRequestHeader(codec, larger, 0, larger.length)).toThrow('got 257 keys');
    expect(() => readResponseError(codec, longer, 0, longer.length)).toThrow('got 257 keys');
  },
);
