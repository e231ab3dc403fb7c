/**
 * The compiled codec and protobuf-es, side by side: random messages of every kind of field, and
 * random damage to their bytes.
 */
import {
  create,
  type DescMessage,
  fromBinary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { protobufCodec } from '../../../../src/rpc/codecs/protobuf/codec.js';
import { cursor } from '../../../../src/rpc/codecs/protobuf/field-reader.js';
import { checkObjectCount } from '../../../../src/rpc/codecs/protobuf/object-counter.js';
import { fc } from '../../../fixtures/property.js';
import { damaged, initOf, messageOf } from '../../../fixtures/protobuf/arbitrary.js';
import {
  encoded,
  encodedByTheirs,
  expectSame,
  expectSameDecoding,
  outcome,
} from '../../../fixtures/protobuf/compare.js';
import * as editions from '../../../fixtures/protobuf/editions_pb.js';
import * as implicit from '../../../fixtures/protobuf/implicit_pb.js';
import * as proto2 from '../../../fixtures/protobuf/proto2_pb.js';
import * as proto3 from '../../../fixtures/protobuf/proto3_pb.js';

// Of a message whose fields are called as members of Object.prototype protobuf-es makes functions.
const schemas = [editions, implicit, proto2, proto3]
  .flatMap((file) => Object.values<object>(file))
  .filter(
    (found): found is DescMessage =>
      'kind' in found && found.kind === 'message' && found !== proto3.InheritedSchema,
  );
const MORE = Number(process.env.PROTOBUF_RUNS ?? 1);
const RUNS = { numRuns: 100 * MORE };

/** The bytes of random messages; messages that cannot be written are none. */
const bytesOf = (schema: DescMessage) =>
  messageOf(schema).map((message) => {
    const found = outcome(() => toBinary(schema, create(schema, message)));
    return 'error' in found ? new Uint8Array(0) : (found.value as Uint8Array);
  });

test('every message of the fixtures takes part', () => expect(schemas.length).toBeGreaterThan(20));

describe.each(schemas.map((schema) => [schema.typeName, schema] as const))('%s', (_, schema) => {
  test('an init shape is written as create() and toBinary() write it, and read back', () => {
    let written = 0;
    fc.assert(
      fc.property(initOf(schema), (init) => {
        const theirs = outcome(() => encodedByTheirs(schema, init));
        expectSame(
          outcome(() => encoded(schema, init)),
          theirs,
        );
        if ('error' in theirs) return;
        written++;
        expectSameDecoding(schema, theirs.value as Buffer);
      }),
      RUNS,
    );
    expect(written, 'most can be written').toBeGreaterThan(RUNS.numRuns / 2);
  });

  test('a message is written as toBinary() writes it, unknown fields too', () => {
    fc.assert(
      fc.property(messageOf(schema), (message) => {
        expectSame(
          outcome(() => encoded(schema, message)),
          outcome(() => encodedByTheirs(schema, message)),
        );
      }),
      RUNS,
    );
  });

  test('objects are counted without a decoder too, of everything that fromBinary() reads, and none is missed', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          bytesOf(schema).map((bytes) => Buffer.from(bytes)),
          damaged(bytesOf(schema)),
        ),
        (bytes) => {
          if ('error' in outcome(() => fromBinary(schema, bytes))) return;
          protobufCodec(schema).decode(bytes, 0, bytes.length, Number.MAX_SAFE_INTEGER);
          const compiled = cursor.limit - cursor.left;
          checkObjectCount(schema, bytes, 0, bytes.length, Number.MAX_SAFE_INTEGER);
          expect(cursor.limit - cursor.left).toBeGreaterThanOrEqual(compiled);
        },
      ),
      RUNS,
    );
  });

  test('damaged bytes are refused where fromBinary() refuses them, and else read as it reads them', () => {
    fc.assert(
      fc.property(damaged(bytesOf(schema)), (bytes) => {
        expectSameDecoding(schema, bytes);
      }),
      { numRuns: 250 * MORE },
    );
  });

  test('two messages behind each other are one', () => {
    fc.assert(
      fc.property(bytesOf(schema), bytesOf(schema), (one, two) => {
        expectSameDecoding(schema, Buffer.concat([one, two]));
      }),
      RUNS,
    );
  });

  test('random bytes', () => {
    // Small numbers make tags and lengths that fit.
    const byte = fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 60 }), (bytes) => {
        expectSameDecoding(schema, Buffer.from(bytes));
      }),
      { numRuns: 300 * MORE },
    );
  });

  test("another schema's bytes, which are written again as they came", () => {
    const other = fc.constantFrom(...schemas).chain(bytesOf);
    fc.assert(
      fc.property(other, (bytes) => {
        const { value } = expectSameDecoding(schema, bytes);
        if (value === undefined) return;
        const message = value as MessageShape<DescMessage>;
        expectSame(
          outcome(() => encoded(schema, message)),
          outcome(() => encodedByTheirs(schema, message)),
        );
      }),
      RUNS,
    );
  });
});
