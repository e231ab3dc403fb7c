/**
 * Compares the compiled codec with protobuf-es: random messages with all kinds of fields, and
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
import { checkObjectCount } from '../../../../src/rpc/codecs/protobuf/object-counter.js';
import { cursor } from '../../../../src/rpc/codecs/protobuf/value-reader.js';
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

// protobuf-es makes functions of fields that are named as members of Object.prototype.
const schemas = [editions, implicit, proto2, proto3]
  .flatMap((file) => Object.values<object>(file))
  .filter(
    (found): found is DescMessage =>
      'kind' in found && found.kind === 'message' && found !== proto3.InheritedSchema,
  );
/** A factor for the number of runs. */
const MORE = Number(process.env.PROTOBUF_RUNS ?? 1);
const RUNS = { numRuns: 30 * MORE };

/** Returns the bytes of random messages, without those that cannot be written. */
const bytesOf = (schema: DescMessage) =>
  messageOf(schema).map((message) => {
    const found = outcome(() => toBinary(schema, create(schema, message)));
    return 'error' in found ? new Uint8Array(0) : (found.value as Uint8Array);
  });

test('the tests use every message of the fixtures', () =>
  expect(schemas.length).toBeGreaterThan(20));

describe.each(schemas.map((schema) => [schema.typeName, schema] as const))('%s', (_, schema) => {
  test('writes an init shape as create() and toBinary() do, and reads it back', () => {
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

  test('writes a message as toBinary() does, with unknown fields', () => {
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

  test('counts all objects of each message that fromBinary() reads, without a decoder', () => {
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

  test('refuses or reads damaged bytes as fromBinary() does', () => {
    fc.assert(
      fc.property(damaged(bytesOf(schema)), (bytes) => {
        expectSameDecoding(schema, bytes);
      }),
      { numRuns: 60 * MORE },
    );
  });

  test('merges two concatenated messages', () => {
    fc.assert(
      fc.property(bytesOf(schema), bytesOf(schema), (one, two) => {
        expectSameDecoding(schema, Buffer.concat([one, two]));
      }),
      RUNS,
    );
  });

  test('refuses or reads random bytes as fromBinary() does', () => {
    // Small numbers make valid tags and lengths.
    const byte = fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 60 }), (bytes) => {
        expectSameDecoding(schema, Buffer.from(bytes));
      }),
      { numRuns: 80 * MORE },
    );
  });

  test('keeps the bytes of another schema as unknown fields', () => {
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
