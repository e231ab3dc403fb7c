/** Examples and rows of JSON Schemas. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { exampleOfSchema } from '../../../src/cli/json-schema/schema-example.js';
import { schemaRows } from '../../../src/cli/json-schema/schema-rows.js';
import { typeText } from '../../../src/cli/json-schema/schema-text.js';

const Node = z.object({
  name: z.string(),
  get children() {
    return z.array(Node);
  },
});

const SCHEMAS: readonly z.ZodType[] = [
  z.string().min(3),
  z.string().nullable(),
  z.email(),
  z.uuid(),
  z.url(),
  z.iso.datetime(),
  z.number().min(5).max(9),
  z.number().gt(5),
  z.number().lt(-5),
  z.int(),
  z.boolean(),
  z.null(),
  z.enum(['a', 'b']),
  z.literal(7),
  z.array(z.string()).min(2),
  z.array(z.object({ id: z.string() })),
  z.array(z.object({ id: z.string() })).max(0),
  z.tuple([z.string(), z.number()]),
  z.record(z.string(), z.number()),
  z.union([z.number(), z.string()]),
  z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('a'), x: z.number() }),
    z.object({ kind: z.literal('b') }),
  ]),
  z.intersection(z.object({ a: z.string() }), z.object({ b: z.string() })),
  z.object({ a: z.string(), b: z.number().optional(), c: z.string().regex(/^x+$/).optional() }),
  z.object({ age: z.number().default(18) }),
  z.unknown(),
  Node,
];

describe('exampleOfSchema', () => {
  test.each(SCHEMAS.map((schema, at) => [at, schema] as const))('is valid: %d', (_, schema) => {
    const example = exampleOfSchema(z.toJSONSchema(schema, { io: 'input' }));
    expect(schema.safeParse(JSON.parse(JSON.stringify(example)))).toMatchObject({ success: true });
  });

  test('has optional fields, defaults and examples, and one object of a list', () => {
    const schema = z.object({
      item: z.object({ name: z.string().meta({ examples: ['tea'] }), size: z.number().optional() }),
      count: z.int().min(1).default(2),
      rows: z.array(z.object({ id: z.string() })),
      tags: z.array(z.string()),
    });
    expect(exampleOfSchema(z.toJSONSchema(schema, { io: 'input' }))).toEqual({
      item: { name: 'tea', size: 0 },
      count: 2,
      rows: [{ id: '' }],
      tags: [],
    });
  });

  const wide = (depth: number): object =>
    depth === 0
      ? { type: 'string' }
      : {
          type: 'object',
          properties: Object.fromEntries(
            [...Array(20).keys()].map((at) => [`f${at}`, { $ref: `#/$defs/d${depth - 1}` }]),
          ),
        };

  test.each<[string, object]>([
    [
      'references that multiply',
      {
        ...wide(9),
        $defs: Object.fromEntries([...Array(9).keys()].map((at) => [`d${at}`, wide(at)])),
      },
    ],
    ['a reference to itself', { $ref: '#' }],
    ['large limits', { type: 'array', minItems: 1e9, items: { type: 'string', minLength: 1e9 } }],
    ['wrong keywords', { type: 5, properties: 5, required: 5, enum: 5, items: 5 }],
    ['names of Object.prototype', JSON.parse('{"properties":{"__proto__":{"const":1}}}')],
    ['limits that exclude each other', { type: 'number', minimum: 9, maximum: 1 }],
    ['a tuple of many items', { type: 'array', prefixItems: Array(100_000).fill({}) }],
  ])('of a hostile server is bounded: %s', (_, schema) => {
    expect((JSON.stringify(exampleOfSchema(schema)) ?? '').length).toBeLessThan(20_000);
    expect(schemaRows(schema).length).toBeLessThanOrEqual(200);
    expect(typeText(schema, schema).length).toBeLessThanOrEqual(80);
  });
});

describe('schemaRows', () => {
  test('has the fields of nested objects and of the items of lists', () => {
    const schema = z.object({
      id: z.string().min(1),
      address: z.object({ zip: z.string() }).optional(),
      rows: z.array(z.object({ n: z.int().max(9) })),
      kind: z.enum(['a', 'b']).default('a'),
      note: z.string().nullable(),
      tree: Node,
    });
    const rows = schemaRows(z.toJSONSchema(schema, { io: 'input' }));
    expect(
      rows.map(({ field, type, isRequired, rules }) =>
        [field, type, isRequired ? 'required' : '', rules].filter(Boolean).join(' '),
      ),
    ).toEqual([
      'id string required minLength 1',
      'address object',
      'address.zip string required',
      'rows object[] required',
      'rows[].n integer required maximum 9',
      'kind "a" | "b" default "a"',
      'note string | null required',
      'tree object required',
      'tree.name string required',
      expect.stringMatching(/^tree\.children \S+\[\] required$/),
    ]);
  });
});
