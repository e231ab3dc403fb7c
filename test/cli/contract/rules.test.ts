/** The rules of `getty contract diff`. Each one has a test of its name, and a row in the guide. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { diffContracts } from '../../../src/cli/contract/contract-diff.js';
import { RULES, type RuleId } from '../../../src/cli/contract/rules.js';
import type { ContractSnapshot } from '../../../src/cli/contract/snapshot.js';
import {
  field,
  greeter,
  hello,
  snapshot,
  withEnum,
  withJson,
  withMethod,
  withProtobuf,
  withSchema,
  withService,
} from './snapshots.js';

type Case = readonly [before: ContractSnapshot, after: ContractSnapshot, where: string];

const reversed = ([before, after, where]: Case): Case => [after, before, where];

const other = { ...greeter, name: 'Other' };
const v2 = { ...greeter, version: 'v2' };
const bye = { ...hello, name: 'bye' };

const objects = (properties: object, required: string[] = [], rest: object = {}): object => ({
  type: 'object',
  properties,
  required,
  ...rest,
});
const text = { type: 'string' };

function schemas(direction: 'input' | 'output', before: object, after: object, at = ''): Case {
  return [
    withSchema(direction, before),
    withSchema(direction, after),
    `Greeter v1 hello ${direction}${at}`,
  ];
}

const RED = { name: 'RED', number: 0 };
const BLUE = { name: 'BLUE', number: 1 };

/** Two snapshots that differ in one thing, by the rule that finds it. */
const CASES: Readonly<Record<RuleId, Case>> = {
  'service-removed': [snapshot(greeter, other), snapshot(greeter), 'Other v1'],
  'service-added': [snapshot(greeter), snapshot(greeter, other), 'Other v1'],
  'service-version-removed': [snapshot(greeter, v2), snapshot(v2), 'Greeter v1'],
  'service-version-added': [snapshot(greeter), snapshot(greeter, v2), 'Greeter v2'],
  'service-group-removed': [
    withService({ groups: ['bj', 'sh'] }),
    withService({ groups: ['bj'] }),
    'Greeter v1',
  ],
  'service-group-added': [
    withService({ groups: ['bj'] }),
    withService({ groups: ['bj', 'sh'] }),
    'Greeter v1',
  ],
  'codec-removed': [
    withService({ codecs: ['json', 'protobuf'] }),
    withService({ codecs: ['protobuf'] }),
    'Greeter v1',
  ],
  'codec-added': [
    withService({ codecs: ['json'] }),
    withService({ codecs: ['json', 'protobuf'] }),
    'Greeter v1',
  ],
  'method-removed': [
    withService({ methods: [bye, hello] }),
    withService({ methods: [hello] }),
    'Greeter v1 bye',
  ],
  'method-added': [
    withService({ methods: [hello] }),
    withService({ methods: [bye, hello] }),
    'Greeter v1 bye',
  ],
  'kind-changed': [
    withMethod({ kind: 'unary' }),
    withMethod({ kind: 'serverStream' }),
    'Greeter v1 hello',
  ],
  'idempotent-removed': [
    withMethod({ idempotent: true }),
    withMethod({ idempotent: false }),
    'Greeter v1 hello',
  ],
  'idempotent-added': [
    withMethod({ idempotent: false }),
    withMethod({ idempotent: true }),
    'Greeter v1 hello',
  ],
  'timeout-shortened': [
    withMethod({ timeout: undefined }),
    withMethod({ timeout: 500 }),
    'Greeter v1 hello',
  ],
  'timeout-lengthened': [
    withMethod({ timeout: 500 }),
    withMethod({ timeout: 900 }),
    'Greeter v1 hello',
  ],

  'input-field-required': schemas(
    'input',
    objects({ a: text }, ['a']),
    objects({ a: text, b: text }, ['a', 'b']),
    '.b',
  ),
  'input-field-optional': schemas('input', objects({ a: text }, ['a']), objects({ a: text }), '.a'),
  'input-field-added': schemas('input', objects({}), objects({ b: text }), '.b'),
  'input-field-removed': schemas('input', objects({ a: text }, ['a']), objects({}), '.a'),
  'input-field-refused': schemas(
    'input',
    objects({ a: text, b: text }, [], { additionalProperties: false }),
    objects({ b: text }, [], { additionalProperties: false }),
    '.a',
  ),
  'input-type-narrowed': schemas('input', { type: ['string', 'null'] }, text),
  'input-type-widened': schemas('input', text, { anyOf: [text, { type: 'number' }] }),
  'input-enum-value-removed': schemas('input', { enum: ['a', 'b'] }, { enum: ['a'] }),
  'input-enum-value-added': schemas('input', { const: 'a' }, { enum: ['a', 'b'] }),
  'input-constraint-tightened': schemas('input', text, { ...text, minLength: 1 }),
  'input-constraint-loosened': schemas(
    'input',
    { type: 'number', maximum: 5 },
    { type: 'number', maximum: 6 },
  ),
  'input-closed': schemas(
    'input',
    objects({ a: text }),
    objects({ a: text }, [], { additionalProperties: false }),
    '.*',
  ),
  'input-opened': schemas(
    'input',
    objects({}, [], { additionalProperties: false }),
    objects({}, [], { additionalProperties: text }),
    '.*',
  ),
  'input-default-changed': schemas('input', { ...text, default: 'a' }, { ...text, default: 'b' }),

  'output-field-removed': schemas('output', objects({ a: text }, ['a']), objects({}), '.a'),
  'output-field-optional': schemas(
    'output',
    objects({ a: text }, ['a']),
    objects({ a: text }),
    '.a',
  ),
  'output-field-required': schemas(
    'output',
    objects({ a: text }),
    objects({ a: text }, ['a']),
    '.a',
  ),
  'output-field-added': schemas(
    'output',
    objects({}, [], { additionalProperties: false }),
    objects({ a: text }, ['a'], { additionalProperties: false }),
    '.a',
  ),
  'output-optional-field-removed': schemas('output', objects({ a: text }), objects({}), '.a'),
  'output-type-widened': schemas('output', { type: 'integer' }, { type: 'number' }),
  'output-type-narrowed': schemas('output', { type: 'number' }, { type: 'integer' }),
  'output-enum-value-added': schemas('output', { enum: ['a'] }, { enum: ['a', 'b'] }),
  'output-enum-value-removed': schemas('output', { enum: ['a', 'b'] }, { enum: ['a'] }),
  'output-constraint-loosened': schemas('output', { ...text, format: 'email' }, text),
  'output-constraint-tightened': schemas('output', text, { ...text, pattern: '^a' }),
  'output-closed': schemas(
    'output',
    objects({}),
    objects({}, [], { additionalProperties: false }),
    '.*',
  ),
  'output-opened': schemas(
    'output',
    objects({}, [], { additionalProperties: false }),
    objects({}),
    '.*',
  ),
  'output-default-changed': schemas('output', { ...text, default: 'a' }, { ...text, default: 'b' }),

  'protobuf-field-added': [
    withProtobuf({}),
    withProtobuf({ fields: [field('string id 1')] }),
    'Greeter v1 Order.id',
  ],
  'protobuf-required-field-added': [
    withProtobuf({}),
    withProtobuf({ fields: [field('string id 1', { cardinality: 'required' })] }),
    'Greeter v1 Order.id',
  ],
  'protobuf-field-removed': [
    withJson({ fields: [field('string id 1')] }),
    withJson({ reservedNumbers: [[1, 3]], reservedNames: ['id'] }),
    'Greeter v1 Order.id',
  ],
  'protobuf-field-removed-unreserved': [
    withJson({ fields: [field('string id 1')] }),
    withJson({ reservedNumbers: [[1, 3]] }),
    'Greeter v1 Order.id',
  ],
  'protobuf-field-number-reused': [
    withProtobuf({ fields: [field('string id 1')] }),
    withProtobuf({ fields: [field('int32 count 1')] }),
    'Greeter v1 Order.id',
  ],
  'protobuf-field-number-changed': [
    withProtobuf({ fields: [field('string id 1')] }),
    withProtobuf({ fields: [field('string id 2')] }),
    'Greeter v1 Order.id',
  ],
  'protobuf-field-renamed': [
    withProtobuf({ fields: [field('string id 1')] }),
    withProtobuf({ fields: [field('string key 1')] }),
    'Greeter v1 Order.id',
  ],
  'protobuf-field-renamed-json': [
    withJson({ fields: [field('string id 1')] }),
    withJson({ fields: [field('string id 1', { jsonName: 'ID' })] }),
    'Greeter v1 Order.id',
  ],
  'protobuf-field-type-compatible': [
    withProtobuf({ fields: [field('int32 n 1')] }),
    withProtobuf({ fields: [field('uint64 n 1')] }),
    'Greeter v1 Order.n',
  ],
  'protobuf-field-type-json': [
    withJson({ fields: [field('int32 n 1')] }),
    withJson({ fields: [field('int64 n 1')] }),
    'Greeter v1 Order.n',
  ],
  'protobuf-field-type-changed': [
    withProtobuf({ fields: [field('int32 n 1')] }),
    withProtobuf({ fields: [field('sint32 n 1')] }),
    'Greeter v1 Order.n',
  ],
  'protobuf-field-cardinality-changed': [
    withProtobuf({ fields: [field('string id 1')] }),
    withProtobuf({ fields: [field('string id 1', { cardinality: 'repeated' })] }),
    'Greeter v1 Order.id',
  ],
  'protobuf-field-presence-changed': [
    withProtobuf({ fields: [field('string id 1')] }),
    withProtobuf({ fields: [field('string id 1', { cardinality: 'optional' })] }),
    'Greeter v1 Order.id',
  ],
  'protobuf-field-required-changed': [
    withProtobuf({ fields: [field('string id 1', { cardinality: 'required' })] }),
    withProtobuf({ fields: [field('string id 1', { cardinality: 'optional' })] }),
    'Greeter v1 Order.id',
  ],
  'protobuf-field-oneof-moved': [
    withProtobuf({ fields: [field('string a 1', { oneof: 'x' }), field('string b 2')] }),
    withProtobuf({
      fields: [field('string a 1', { oneof: 'x' }), field('string b 2', { oneof: 'x' })],
    }),
    'Greeter v1 Order.b',
  ],
  'protobuf-field-oneof-new': [
    withProtobuf({ fields: [field('string a 1')] }),
    withProtobuf({ fields: [field('string a 1', { oneof: 'x' })] }),
    'Greeter v1 Order.a',
  ],
  'protobuf-oneof-renamed': [
    withProtobuf({ fields: [field('string a 1', { oneof: 'x' })] }),
    withProtobuf({ fields: [field('string a 1', { oneof: 'y' })] }),
    'Greeter v1 Order.a',
  ],
  'protobuf-message-renamed': [
    withProtobuf({ fields: [field('string id 1')] }),
    withProtobuf({ type: 'NewOrder', fields: [field('string id 1')] }),
    'Greeter v1 NewOrder',
  ],
  'protobuf-enum-renamed': [
    withEnum({ values: [RED] }),
    withEnum({ values: [RED], name: 'Hue' }),
    'Greeter v1 Hue',
  ],
  'protobuf-enum-value-added': [
    withEnum({ values: [RED] }),
    withEnum({ values: [RED, BLUE] }),
    'Greeter v1 Color.BLUE',
  ],
  'protobuf-enum-value-removed': [
    withEnum({ values: [RED, BLUE] }),
    withEnum({ values: [RED], reservedNumbers: [[1, 1]] }),
    'Greeter v1 Color.BLUE',
  ],
  'protobuf-enum-value-removed-unreserved': [
    withEnum({ values: [RED, BLUE], isJson: true }),
    withEnum({ values: [RED], isJson: true, reservedNumbers: [[1, 1]] }),
    'Greeter v1 Color.BLUE',
  ],
  'protobuf-enum-value-renamed': [
    withEnum({ values: [RED] }),
    withEnum({ values: [{ name: 'ROUGE', number: 0 }] }),
    'Greeter v1 Color.RED',
  ],
  'protobuf-enum-value-renamed-json': [
    withEnum({ values: [RED], isJson: true }),
    withEnum({ values: [{ name: 'ROUGE', number: 0 }], isJson: true }),
    'Greeter v1 Color.RED',
  ],
  'protobuf-enum-value-number-changed': [
    withEnum({ values: [RED] }),
    withEnum({ values: [{ name: 'RED', number: 7 }] }),
    'Greeter v1 Color.RED',
  ],
  'protobuf-enum-closed': [
    withEnum({ values: [RED] }),
    withEnum({ values: [RED], isClosed: true }),
    'Greeter v1 Color',
  ],
  'protobuf-enum-opened': [
    withEnum({ values: [RED], isClosed: true }),
    withEnum({ values: [RED] }),
    'Greeter v1 Color',
  ],
};

/** Changes that cause another change too. */
const COMPANIONS: Partial<Record<RuleId, RuleId>> = {
  'protobuf-field-type-json': 'protobuf-field-type-compatible',
};

describe.each(Object.entries(CASES))('the rule %s', (id, [before, after, where]) => {
  const rule = RULES[id as RuleId];

  test(`${id}: breaks ${rule.breaks.join(' and ') || 'none'}`, () => {
    const { changes, uncompared } = diffContracts(before, after);
    const companion = COMPANIONS[id as RuleId];
    expect(changes.filter((change) => change.rule !== companion)).toEqual([
      { rule: id, breaks: rule.breaks, where, what: expect.any(String), why: rule.why },
    ]);
    const schemaIsKnown = id.startsWith('input-') || id.startsWith('output-');
    expect(uncompared.filter(({ where: at }) => schemaIsKnown && at === where)).toEqual([]);
  });

  test(`${id}: finds nothing between equal snapshots`, () => {
    for (const one of [before, after])
      expect(diffContracts(one, structuredClone(one)).changes).toEqual([]);
  });
});

test('the reverse of an addition is a removal', () => {
  for (const [id, opposite] of [
    ['service-removed', 'service-added'],
    ['method-removed', 'method-added'],
    ['codec-removed', 'codec-added'],
    ['input-type-narrowed', 'input-type-widened'],
    ['output-type-widened', 'output-type-narrowed'],
  ] as const) {
    const [before, after] = reversed(CASES[id]);
    expect(diffContracts(before, after).changes.map(({ rule }) => rule)).toEqual([opposite]);
  }
});

test('the guide has a row for each rule, as the code has it', () => {
  const guide = readFileSync(
    fileURLToPath(new URL('../../../docs/contracts.md', import.meta.url)),
    'utf8',
  );
  const rows = [...guide.matchAll(/^\| `([a-z]+(?:-[a-z]+)+)` \| (.*?) \| (.*) \|$/gm)];
  expect(rows.map(([, id, breaks, why]) => ({ id, breaks, why }))).toEqual(
    Object.entries(RULES).map(([id, { breaks, why }]) => ({
      id,
      breaks: breaks.join(', ') || '–',
      why,
    })),
  );
});
