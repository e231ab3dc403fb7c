/** JSON Schemas of strangers that would take much time or memory without limits. */
import { expect, test } from 'vitest';
import { exampleOfSchema } from '../../../src/cli/json-schema/schema-example.js';
import { formsOf } from '../../../src/cli/json-schema/schema-forms.js';
import { resolveRef } from '../../../src/cli/json-schema/schema-refs.js';
import { schemaRows } from '../../../src/cli/json-schema/schema-rows.js';

const count = <T>(length: number, make: (at: number) => T): T[] =>
  Array.from({ length }, (_, at) => make(at));
const repeated = { $ref: '#/$defs/repeated' };

/** A schema with 200 fields, each of them 190 references to `part`. */
const schemaOf = (part: object): object => ({
  $defs: { part, repeated: { anyOf: count(190, () => ({ $ref: '#/$defs/part' })) } },
  type: 'object',
  properties: Object.fromEntries(count(200, (at) => [`p${at}`, repeated])),
});

test('many references to a large enum have the type "other"', () => {
  const rows = schemaRows(schemaOf({ enum: count(60_000, (at) => at) }));
  expect(rows[0]?.type).toBe('other');
});

test('the keywords of a schema are read once, however many references it has', () => {
  let reads = 0;
  const keys = Object.fromEntries(count(3_000, (at) => [`x-${at}`, 0]));
  const part = new Proxy<object>(
    { type: 'string', ...keys },
    {
      ownKeys: (target) => {
        reads++;
        return Reflect.ownKeys(target);
      },
    },
  );
  expect(schemaRows(schemaOf(part))[0]?.type).toBe('string | …');
  expect(reads).toBeLessThan(20);
});

test('a long reference names nothing', () => {
  const name = 'a'.repeat(2_000);
  expect(resolveRef({ [name]: true }, `#/${name}`)).toBeUndefined();
  expect(resolveRef({ a: { 'b/c': true } }, '#/a/b~1c')).toBe(true);
});

test('a schema that combines itself has no forms', () => {
  const schema = { anyOf: [{ $ref: '#' }, { type: 'string' }] };
  expect(formsOf(schema, schema)).toBeUndefined();
});

test('an example has at most 100,000 characters of given values and names', () => {
  const example = exampleOfSchema(schemaOf({ const: 'x'.repeat(30_000) }));
  expect(JSON.stringify(example).length).toBeLessThan(150_000);
});

test.each<[string, object]>([
  ['items without a type', {}],
  ['texts', { type: 'string' }],
  ['long texts', { type: 'string', minLength: 1_000 }],
  ['given values', { const: 'x'.repeat(1_000) }],
  ['objects', { type: 'object', properties: { a: { type: 'string' }, b: { type: 'number' } } }],
])('an example of nested lists of %s has a limited size', (_, items) => {
  let schema = items;
  for (let level = 0; level < 7; level++)
    schema = { type: 'array', minItems: 1_000_000, items: schema };
  // Counts the values without JSON.stringify(), which would not end.
  let values = 0;
  const visit = (value: unknown): void => {
    values++;
    if (values < 10_000 && Array.isArray(value)) for (const item of value) visit(item);
  };
  const example = exampleOfSchema(schema);
  visit(example);
  expect(values).toBeLessThan(1_000);
  expect(JSON.stringify(example).length).toBeLessThan(150_000);
});
