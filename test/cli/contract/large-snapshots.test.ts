/** Snapshots of strangers that would take much time or memory without limits. */
import { expect, test } from 'vitest';
import { diffContracts } from '../../../src/cli/contract/contract-diff.js';
import { field, greeter, snapshot, withProtobuf, withSchema } from './snapshots.js';

const count = <T>(length: number, make: (at: number) => T): T[] =>
  Array.from({ length }, (_, at) => make(at));

test('a removed version names 20 others, cut', () => {
  const versions = (prefix: string) =>
    count(100, (at) => ({ ...greeter, version: `${prefix}${at}${'x'.repeat(2_000)}` }));
  const { changes } = diffContracts(snapshot(...versions('a')), snapshot(...versions('b')));
  const removed = changes.filter(({ rule }) => rule === 'service-version-removed');
  expect(removed).toHaveLength(100);
  expect(removed[0]?.what).toMatch(/^gone; there is b0x.* …|…$/);
  for (const { where, what } of removed) expect(where.length + what.length).toBeLessThan(4_000);
});

test('a oneof with many fields and another name takes little time', () => {
  const fields = (oneof: string) =>
    count(9_000, (at) => field(`int32 f${at} ${at + 1}`, { cardinality: 'optional', oneof }));
  const { changes } = diffContracts(
    withProtobuf({ fields: fields('a') }),
    withProtobuf({ fields: fields('b') }),
  );
  expect(changes).toHaveLength(9_000);
  expect(new Set(changes.map(({ rule }) => rule))).toEqual(new Set(['protobuf-oneof-renamed']));
});

test('pairs of large enums end with a note', () => {
  const values = count(100_000, (at) => ({ name: `v${at}`, number: at }));
  const { changes, uncompared } = diffContracts(
    withProtobuf({
      fields: count(40, (at) => field(`E f${at} ${at + 1}`)),
      enums: { E: { values } },
    }),
    withProtobuf({
      fields: count(40, (at) => field(`E${at} f${at} ${at + 1}`)),
      enums: Object.fromEntries(count(40, (at) => [`E${at}`, { values }])),
    }),
  );
  expect(changes.length).toBeLessThan(10);
  expect(uncompared).toEqual([
    { service: 'all', where: 'all', why: 'the snapshots are too large; the rest is not compared' },
  ]);
});

test('long names and values are cut', () => {
  const name = 'n'.repeat(100_000);
  const schema = (type: string) => ({
    type: 'object',
    properties: { [name]: { type: 'object', properties: { a: { type }, [name]: { type } } } },
  });
  const { changes } = diffContracts(
    withSchema('input', schema('string')),
    withSchema('input', schema('number')),
  );
  expect(changes).toHaveLength(4);
  for (const { where, what } of changes) expect(where.length + what.length).toBeLessThan(500);
});

test('an enum that many references repeat is not compared', () => {
  const schema = (first: number) => ({
    $defs: {
      values: { enum: count(60_000, (at) => at + first) },
      all: { anyOf: count(190, () => ({ $ref: '#/$defs/values' })) },
    },
    anyOf: count(5, () => ({ $ref: '#/$defs/all' })),
  });
  const { changes, uncompared } = diffContracts(
    withSchema('input', schema(0)),
    withSchema('input', schema(1)),
  );
  expect(changes).toEqual([]);
  expect(uncompared).toHaveLength(1);
});
