/** Properties of an argument that its JSON Schema does not know. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { unknownProperties } from '../../../src/cli/call/argument-properties.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { serveGreeter } from '../greeter-servers.js';
import { getty } from '../run-getty.js';

noLeaks();

const inputOf = (schema: z.ZodType): object => z.toJSONSchema(schema, { io: 'input' });

const Order = inputOf(
  z.object({
    name: z.string(),
    count: z.number().default(1),
    items: z.array(z.object({ price: z.number() })).optional(),
    to: z.union([z.object({ mail: z.string() }), z.object({ phone: z.string() })]).optional(),
    labels: z.record(z.string(), z.string()).optional(),
    more: z.looseObject({ a: z.string() }).optional(),
  }),
);

describe('unknownProperties()', () => {
  test.each([
    [{ name: 'x', count: 3, items: [{ price: 1 }], to: { mail: 'a' } }],
    [{ labels: { any: 'thing' }, more: { a: '', b: 1 } }],
    [{ to: { mail: 'a', phone: '1' } }],
    [['cuont']],
    ['text'],
    [null],
    [undefined],
  ])('accepts %j', (value) => {
    expect(unknownProperties(Order, value)).toEqual([]);
  });

  test('names the property, and the one that was meant', () => {
    expect(unknownProperties(Order, { name: 'x', cuont: 3 })).toEqual([
      'the JSON Schema of the method has no property "cuont"; did you mean count?',
    ]);
    expect(unknownProperties(Order, { items: [{ price: 1 }, { zzzzzzzz: 1 }] })).toEqual([
      'the JSON Schema of the method has no property "items[1].zzzzzzzz"',
    ]);
    expect(unknownProperties(Order, { to: { mial: 'a' } })).toEqual([
      expect.stringMatching(/"to\.mial"; did you mean mail\?$/),
    ]);
    expect(unknownProperties(inputOf(z.strictObject({})), { a: 1 })).toHaveLength(1);
  });

  test('says nothing of a schema that it cannot read, or that has patterns', () => {
    const properties = { a: { type: 'string' } };
    for (const schema of [
      {},
      { $ref: '#/nowhere' },
      { type: 'object' },
      { properties, patternProperties: { '^x': {} }, additionalProperties: false },
      { properties, not: { required: ['b'] } },
      { type: 'string' },
    ])
      expect(unknownProperties(schema, { b: 1 })).toEqual([]);
  });

  test('has limits for depth, size and number of warnings', () => {
    const properties: Record<string, unknown> = { next: { $ref: '#' } };
    const list = { type: 'object', properties };
    let value: object = { last: 1 };
    for (let at = 0; at < 10_000; at++) value = { next: value };
    expect(unknownProperties(list, value)).toEqual([]);
    const wide = Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [`key${at}`, at]));
    expect(unknownProperties(list, wide)).toHaveLength(5);
  });
});

test('getty call warns of a property that the JSON Schema lacks, and calls the method', async () => {
  await using server = await serveGreeter();
  const args = ['call', server.address, 'Greeter/price', '{"item":"book","itme":"x"}'];
  const text = 'the JSON Schema of the method has no property "itme"; did you mean item?';
  expect(await getty(...args)).toEqual({
    code: 0,
    stdout: '4\n',
    stderr: `warning: JSON: ${text}\n`,
  });
  const { code, stderr } = await getty(...args, '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stderr)).toEqual({ warning: `JSON: ${text}` });
});
