/** The comparison of contracts, besides single rules. */
import { describe, expect, test } from 'vitest';
import type { ContractDiff } from '../../../src/cli/contract/change-list.js';
import { diffContracts } from '../../../src/cli/contract/contract-diff.js';
import {
  field,
  greeter,
  hello,
  snapshot,
  withJson,
  withMethod,
  withProtobuf,
  withSchema,
  withService,
} from './snapshots.js';

const rulesOf = ({ changes }: ContractDiff): string[] =>
  changes.map(({ rule, where }) => `${rule} ${where.replace('Greeter v1 hello ', '')}`);

/** As files have the schemas: no two places share an object. */
const copyOf = (schema: object): object => JSON.parse(JSON.stringify(schema));

const diffInputs = (before: object, after: object): ContractDiff =>
  diffContracts(withSchema('input', copyOf(before)), withSchema('input', copyOf(after)));

const text = { type: 'string' };
const shape = (kind: string, properties: object, required: string[] = []): object => ({
  type: 'object',
  properties: { kind: { const: kind, type: 'string' }, ...properties },
  required: ['kind', ...required],
});

describe('JSON Schemas', () => {
  test('find the new type of a field that is one of the other fields now', () => {
    const withField = (type: string): object => ({
      type: 'object',
      properties: { a: { type } },
      additionalProperties: { type: 'number' },
    });
    const without = { type: 'object', additionalProperties: { type: 'number' } };
    expect(rulesOf(diffInputs(withField('string'), without))).toEqual([
      'input-field-removed input.a',
      'input-type-narrowed input.a',
      'input-type-widened input.a',
    ]);
    expect(rulesOf(diffInputs(withField('number'), without))).toEqual([
      'input-field-removed input.a',
    ]);
  });

  test('find a changed default of a definition, unless the field has its own', () => {
    const withDefault = (value: string, rest: object = {}): object => ({
      type: 'object',
      properties: { a: { $ref: '#/$defs/A', ...rest } },
      $defs: { A: { ...text, default: value } },
    });
    expect(rulesOf(diffInputs(withDefault('x'), withDefault('y')))).toEqual([
      'input-default-changed input.a',
    ]);
    const own = { default: 'z' };
    expect(rulesOf(diffInputs(withDefault('x', own), withDefault('y', own)))).toEqual([]);
  });

  test('are equal whatever the order of keys and the annotations are', () => {
    const before = { type: 'object', properties: { a: text, b: text }, title: 'A' };
    const after = {
      description: 'an object',
      properties: { b: text, a: { ...text, description: 'a' } },
      type: 'object',
    };
    expect(diffInputs(before, after)).toEqual({ changes: [], uncompared: [] });
  });

  test('are equal if they accept the same values in other words', () => {
    for (const [before, after] of [
      [{ type: ['string', 'null'] }, { anyOf: [{ type: 'null' }, text] }],
      [{ anyOf: [{ const: 'a' }, { const: 'b' }] }, { enum: ['b', 'a'] }],
      [{ allOf: [{}, text] }, text],
      [{ type: 'integer' }, { type: 'integer', minimum: Number.MIN_SAFE_INTEGER }],
      [{ $ref: '#/$defs/A', $defs: { A: text } }, text],
      [{ type: 'object' }, { type: 'object', additionalProperties: {} }],
      [
        {
          allOf: [
            { type: 'object', required: ['a'] },
            { type: 'object', properties: { a: text } },
          ],
        },
        { type: 'object', properties: { a: text }, required: ['a'] },
      ],
    ] as const)
      expect(diffInputs(before, after)).toEqual({ changes: [], uncompared: [] });
  });

  test('are compared in fields, items, tuples, other fields, unions and definitions', () => {
    const schemaOf = (leaf: object): object => ({
      type: 'object',
      properties: {
        list: { type: 'array', items: { type: 'object', properties: { leaf } } },
        tuple: { type: 'array', prefixItems: [text, leaf], items: false },
        record: { type: 'object', additionalProperties: leaf },
        named: { $ref: '#/$defs/Named' },
        shape: { oneOf: [shape('circle', { r: leaf }), shape('square', {})] },
      },
      $defs: { Named: { type: 'object', properties: { leaf, self: { $ref: '#/$defs/Named' } } } },
    });
    expect(rulesOf(diffInputs(schemaOf(text), schemaOf({ type: 'number' })))).toEqual(
      ['list[].leaf', 'tuple[1]', 'record.*', 'named.leaf', 'shape.r'].flatMap((path) => [
        `input-type-narrowed input.${path}`,
        `input-type-widened input.${path}`,
      ]),
    );
  });

  test('pair the objects of a union by their constant fields', () => {
    const before = { oneOf: [shape('circle', { r: text }), shape('square', {})] };
    const after = { oneOf: [shape('square', { side: text }, ['side']), shape('dot', {})] };
    expect(rulesOf(diffInputs(before, after)).sort()).toEqual([
      'input-enum-value-added input.kind',
      'input-enum-value-removed input.kind',
      'input-field-removed input.r',
      'input-field-required input.side',
    ]);
  });

  test('find a narrower type where any value was accepted', () => {
    expect(rulesOf(diffInputs({}, text))).toEqual(['input-type-narrowed input']);
    expect(rulesOf(diffInputs(text, {}))).toEqual(['input-type-widened input']);
    expect(rulesOf(diffInputs(text, { enum: ['a'] }))).toEqual(['input-type-narrowed input']);
  });

  test('that refer to themselves are compared once', () => {
    const list = (value: object): object => ({
      type: 'object',
      properties: { value, next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } },
    });
    expect(rulesOf(diffInputs(list(text), list({ type: 'number' })))).toEqual([
      'input-type-narrowed input.value',
      'input-type-widened input.value',
    ]);
  });

  test.each<[string, object, object]>([
    ['a union beside other keywords', { minLength: 1, anyOf: [text] }, text],
    ['not', { not: text }, text],
    ['a reference to nothing', { $ref: '#/$defs/None' }, text],
    ['a reference to another document', { $ref: 'https://example.org/a' }, text],
    ['a reference to itself', { $ref: '#' }, text],
    ['an unknown keyword', { ...text, shape: 1 }, { ...text, shape: 2 }],
    ['a schema that is no object', { type: 'array', items: 5 }, { type: 'array', items: text }],
  ])('say what cannot be compared: %s', (_, before, after) => {
    const { changes, uncompared } = diffInputs(before, after);
    expect(changes).toEqual([]);
    expect(uncompared).toHaveLength(1);
  });

  test.each<[string, (at: number) => object]>([
    ['references that multiply', (at) => ({ anyOf: [...Array(50).keys()].map((n) => ref(n, at)) })],
    ['many forms', (at) => ({ enum: [...Array(20_000).keys()].map((n) => n + at) })],
    [
      'wrong keywords',
      (at) => ({ type: at, required: at, properties: [at], items: [at], enum: at }),
    ],
    [
      'names of Object.prototype',
      (at) =>
        JSON.parse(
          `{"type":"object","properties":{"__proto__":{"const":${at}},"constructor":{"const":${at}}}}`,
        ),
    ],
  ])('of a hostile file end: %s', (_, schemaOf) => {
    const { changes, uncompared } = diffInputs(hostile(schemaOf, 0), hostile(schemaOf, 1));
    expect(uncompared.length).toBeLessThanOrEqual(10_001);
    expect(changes.length).toBeLessThanOrEqual(10_000);
  });

  test('of different cycles end', () => {
    const cycle = (length: number): object => ({
      $ref: '#/$defs/n0',
      $defs: Object.fromEntries(
        [...Array(length).keys()].map((at) => [
          `n${at}`,
          {
            type: 'object',
            properties: { next: { $ref: `#/$defs/n${(at + 1) % length}` } },
          },
        ]),
      ),
    });
    const { uncompared } = diffInputs(cycle(211), cycle(199));
    expect(uncompared).toEqual([expect.objectContaining({ why: 'it has too many levels' })]);
  });
});

const ref = (to: number, at: number): object => ({ $ref: `#/$defs/n${to}`, $comment: at });

function hostile(schemaOf: (at: number) => object, at: number): object {
  const one = schemaOf(at);
  return {
    ...one,
    $defs: Object.fromEntries([...Array(50).keys()].map((n) => [`n${n}`, schemaOf(at)])),
  };
}

describe('Protobuf messages', () => {
  const typed = (type: string, rest = {}) =>
    withProtobuf({
      fields: [field(`${type} f 1`, rest)],
      messages: { Item: { fields: [field('string id 1')] } },
      enums: { Color: { values: [{ name: 'RED', number: 0 }] } },
    });
  const between = (from: string, to: string): string[] =>
    diffContracts(typed(from), typed(to)).changes.map(({ rule }) => rule);

  test.each([
    ['int32', 'int64'],
    ['uint32', 'bool'],
    ['uint64', 'int32'],
    ['sint32', 'sint64'],
    ['fixed32', 'sfixed32'],
    ['fixed64', 'sfixed64'],
    ['string', 'bytes'],
    ['Item', 'bytes'],
    ['Color', 'int32'],
    ['uint64', 'Color'],
  ])('%s and %s have one encoding', (from, to) => {
    expect(between(from, to)).toEqual(['protobuf-field-type-compatible']);
    expect(between(to, from)).toEqual(['protobuf-field-type-compatible']);
  });

  test.each([
    ['int32', 'sint32'],
    ['int32', 'fixed32'],
    ['int64', 'sfixed64'],
    ['fixed32', 'fixed64'],
    ['fixed32', 'float'],
    ['fixed64', 'double'],
    ['float', 'double'],
    ['string', 'int32'],
    ['Item', 'string'],
    ['Color', 'Item'],
    ['Color', 'sint32'],
    ['Color', 'bool'],
  ])('%s and %s have different encodings', (from, to) => {
    expect(between(from, to)).toEqual(['protobuf-field-type-changed']);
    expect(between(to, from)).toEqual(['protobuf-field-type-changed']);
  });

  test('a group is encoded in another way', () => {
    expect(
      diffContracts(typed('Item'), typed('Item', { isDelimited: true })).changes[0]?.rule,
    ).toBe('protobuf-field-type-changed');
  });

  test('the keys and the values of maps are compared', () => {
    const map = (mapKey: string, type = 'string') => typed(type, { mapKey, cardinality: 'map' });
    expect(rulesOf(diffContracts(map('string'), map('int32')))).toEqual([
      'protobuf-field-type-changed Greeter v1 Order.f',
    ]);
    expect(rulesOf(diffContracts(map('string'), map('string', 'int32')))).toEqual([
      'protobuf-field-type-changed Greeter v1 Order.f',
    ]);
  });

  test('numbers that two fields have exchanged are reused', () => {
    const [a, b] = ['a', 'b'].map((name) => (number: number) => field(`string ${name} ${number}`));
    const { changes } = diffContracts(
      withProtobuf({ fields: [a?.(1), b?.(2)].filter((each) => each !== undefined) }),
      withProtobuf({ fields: [b?.(1), a?.(2)].filter((each) => each !== undefined) }),
    );
    expect(changes.map(({ rule }) => rule).sort()).toEqual([
      'protobuf-field-number-changed',
      'protobuf-field-number-changed',
      'protobuf-field-number-reused',
      'protobuf-field-number-reused',
    ]);
  });

  test('are compared through fields, once, also if they contain themselves', () => {
    const tree = (type: string) =>
      withJson({
        fields: [field('Tree left 1'), field('Tree right 2')],
        messages: { Tree: { fields: [field('Tree next 1'), field(`${type} value 2`)] } },
      });
    expect(rulesOf(diffContracts(tree('int32'), tree('string')))).toEqual([
      'protobuf-field-type-changed Greeter v1 Tree.value',
    ]);
  });

  test('say what a snapshot of an older server does not tell', () => {
    const partial = withProtobuf({ isPartial: true, fields: [field('Item item 1')] });
    const whole = withProtobuf({
      fields: [field('Item item 1')],
      messages: { Item: { fields: [] } },
    });
    const { changes, uncompared } = diffContracts(partial, whole);
    expect(changes).toEqual([]);
    expect(uncompared).toEqual([
      {
        service: 'Greeter v1',
        where: 'Greeter v1 Order',
        why: expect.stringContaining('without descriptors'),
      },
    ]);
    const gone = diffContracts(partial, withProtobuf({ isPartial: true }));
    expect(rulesOf(gone)).toEqual(['protobuf-field-removed Greeter v1 Order.item']);
  });
});

describe('messages that only types describe', () => {
  test('are not compared, and the report says so', () => {
    const service = 'Greeter v1';
    const why = 'both snapshots have no description of it';
    expect(diffContracts(withMethod({}), withMethod({}))).toEqual({
      changes: [],
      uncompared: [
        { service, where: `${service} hello input`, why },
        { service, where: `${service} hello output`, why },
      ],
    });
  });

  test.each([
    [{ vendor: 'zod' }, 'a schema of zod without JSON Schema'],
    [{ vendor: 'zod', jsonSchemaOmitted: 'failed' }, 'a schema of zod that has no JSON Schema'],
    [{ vendor: 'zod', jsonSchemaOmitted: 'too-large' }, 'a schema of zod that is too large'],
    [{ vendor: 'protobuf', type: 'Order' }, 'the Protobuf message Order'],
  ] as const)('are named: %j', (input, name) => {
    const { uncompared } = diffContracts(
      withMethod({ kind: 'noReply', input }),
      withSchema('input', text),
    );
    expect(uncompared[0]?.why).toBe(`${name} → a JSON Schema of zod`);
  });
});

describe('services', () => {
  test('without a version match the only version that there is', () => {
    const before = withService({ version: '' });
    expect(rulesOf(diffContracts(before, withService({ version: 'v2', methods: [] })))).toEqual([
      'service-version-added Greeter v2',
      'method-removed Greeter v2 hello',
    ]);
  });

  test('of an address and a registry are compared without groups', () => {
    const { changes, uncompared } = diffContracts(
      withService({ groups: ['bj'], methods: [] }),
      withService({ methods: [] }),
    );
    expect(changes).toEqual([]);
    expect(uncompared[0]?.why).toBe('the new snapshot is that of an address, which has no groups');
  });

  test('with more changes than a report can have end with a note', () => {
    const methods = [...Array(12_000).keys()].map((at) => ({ ...hello, name: `m${at}` }));
    const { changes, uncompared } = diffContracts(
      snapshot({ ...greeter, methods }),
      withService({ methods: [] }),
    );
    expect(changes).toHaveLength(10_000);
    expect(uncompared).toEqual([
      { service: 'all', where: 'all', why: 'there are too many changes; the rest is not compared' },
    ]);
  });
});
