/** The JSON Schema of messages, with the libraries that have the Standard JSON Schema. */
import { toStandardJsonSchema } from '@valibot/to-json-schema';
import { type } from 'arktype';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { MessageCodec, StandardSchemaV1 } from '../../../src/rpc/index.js';
import { contract, Introspection, implement, serve, unary } from '../../../src/rpc/index.js';
import { descriptionOf, jsonSchemaOf, SchemaBudget } from '../../../src/rpc/metrics/json-schema.js';
import { getty } from '../../cli/run-getty.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { connectOnce, freeMemoryAddress } from '../../fixtures/rpc.js';

noLeaks();

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';
const describeAs = (schema: StandardSchemaV1, direction: 'input' | 'output' = 'input') =>
  jsonSchemaOf(schema, direction, new SchemaBudget());

/** A schema whose conversion is `convert`. */
const converting = (convert: unknown): StandardSchemaV1 =>
  ({
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value: unknown) => ({ value }),
      jsonSchema: { input: convert, output: convert },
    },
  }) as StandardSchemaV1;

const ofSize = (size: number) => ({ description: 'x'.repeat(size) });

/** Calls `read` when it is converted to JSON. */
class Value {
  readonly #read: () => void;
  constructor(read: () => void) {
    this.#read = read;
  }
  toJSON(): string {
    this.#read();
    return '';
  }
}

describe('jsonSchemaOf', () => {
  const LIBRARIES: readonly [string, StandardSchemaV1][] = [
    ['zod', z.object({ name: z.string().min(1), age: z.number().default(18) })],
    ['arktype', type({ name: 'string > 0', age: 'number = 18' })],
    [
      'valibot',
      toStandardJsonSchema(
        v.object({ name: v.pipe(v.string(), v.minLength(1)), age: v.optional(v.number(), 18) }),
      ),
    ],
  ];
  test.each(LIBRARIES)('describes what a caller must give: %s', (_, schema) => {
    expect(describeAs(schema).jsonSchema).toMatchObject({
      $schema: DIALECT,
      type: 'object',
      properties: { name: { type: 'string', minLength: 1 }, age: { type: 'number' } },
      required: ['name'],
    });
  });

  test.each(LIBRARIES)('describes what a caller gets: %s', (name, schema) => {
    const { required } = describeAs(schema, 'output').jsonSchema as { required: string[] };
    // The output of valibot leaves out that a field with a default is always there.
    expect([...required].sort()).toEqual(name === 'valibot' ? ['name'] : ['age', 'name']);
  });

  test('tells nothing of a library without JSON Schema', () => {
    expect(describeAs(v.string())).toEqual({});
  });

  test.each<[string, StandardSchemaV1]>([
    ['a type that zod cannot express', z.date()],
    ['a type that valibot cannot express', toStandardJsonSchema(v.date())],
    [
      'an exception',
      converting(() => {
        throw new Error('no');
      }),
    ],
    [
      'an exception that is no Error',
      converting(() => {
        throw null;
      }),
    ],
    ['a rejected promise', converting(() => Promise.reject(new Error('no')))],
    ['no object', converting(() => 'text')],
    ['undefined', converting(() => undefined)],
    ['a list', converting(() => [])],
    ['no function', converting('text')],
    ['a bigint', converting(() => ({ const: 1n }))],
    [
      'a cycle',
      converting(() => {
        const cycle = {};
        return Object.assign(cycle, { cycle });
      }),
    ],
    [
      'a revoked proxy',
      converting(() => {
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        return proxy;
      }),
    ],
  ])('omits the schema and says so: %s', (_, schema) => {
    for (const direction of ['input', 'output'] as const)
      expect(describeAs(schema, direction)).toEqual({ jsonSchemaOmitted: 'failed' });
  });

  const deep = (levels: number): object =>
    levels === 1 ? { type: 'string' } : { items: deep(levels - 1) };

  test('omits a schema with more than 65,536 characters or 80 levels', () => {
    expect(describeAs(converting(() => ofSize(65_000)))).toHaveProperty('jsonSchema');
    expect(describeAs(converting(() => ofSize(65_536)))).toEqual({
      jsonSchemaOmitted: 'too-large',
    });
    expect(describeAs(converting(() => deep(80)))).toHaveProperty('jsonSchema');
    expect(describeAs(converting(() => deep(81)))).toEqual({ jsonSchemaOmitted: 'too-large' });
  });

  test.each<[string, (read: () => void) => object]>([
    ['values', (read) => ({ enum: Array.from({ length: 1_000_000 }, () => new Value(read)) })],
    [
      'names',
      (read) => ({
        properties: Object.fromEntries(
          Array.from({ length: 100_000 }, (_, at) => [`name${at}`, new Value(read)]),
        ),
      }),
    ],
  ])('reads no more than the limit of a schema with many %s', (_, make) => {
    let reads = 0;
    const huge = make(() => reads++);
    expect(describeAs(converting(() => huge))).toEqual({ jsonSchemaOmitted: 'too-large' });
    expect(reads).toBeGreaterThan(1_000);
    expect(reads).toBeLessThan(65_536);
  });

  test('omits schemas when those before them have used up the answer', () => {
    const budget = new SchemaBudget();
    const omitted = Array.from({ length: 8 }, () =>
      jsonSchemaOf(
        converting(() => ofSize(60_000)),
        'input',
        budget,
      ),
    ).map(({ jsonSchemaOmitted }) => jsonSchemaOmitted);
    expect(omitted.filter((reason) => reason === 'too-large')).toHaveLength(2);
    const list = Array.from({ length: 30_000 }, () => 1);
    const nodes = new SchemaBudget();
    const describeList = () =>
      jsonSchemaOf(
        converting(() => ({ enum: list })),
        'input',
        nodes,
      );
    expect(describeList()).toHaveProperty('jsonSchema');
    expect(describeList()).toEqual({ jsonSchemaOmitted: 'too-large' });
  });
});

describe('descriptionOf', () => {
  const failed = { vendor: 'unknown', jsonSchemaOmitted: 'failed' };
  test.each<[string, () => unknown, unknown]>([
    [
      'throws',
      () => {
        throw new Error('no description');
      },
      failed,
    ],
    ['rejects', () => Promise.reject(new Error('no description')), failed],
    ['returns no object', () => 'text', failed],
    ['returns a bigint', () => ({ vendor: 'mine', type: 1n }), failed],
    ['returns nothing', () => undefined, undefined],
    [
      'returns too much',
      () => ({ vendor: 'mine', fields: Array.from({ length: 100_000 }, () => ({})) }),
      { vendor: 'mine', jsonSchemaOmitted: 'too-large' },
    ],
    [
      'returns properties of other types',
      () => ({ vendor: 1, type: 2, fields: [3, { name: 'a', number: 1, type: 'b' }], other: 4 }),
      { vendor: 'unknown', fields: [{ name: 'a', number: 1, type: 'b' }] },
    ],
    [
      'is right',
      () => ({ vendor: 'mine', jsonSchema: { type: 'string' } }),
      { vendor: 'mine', jsonSchema: { type: 'string' } },
    ],
  ])('tells what is known if describe() %s', (_, describe, expected) => {
    const codec = { encode() {}, decode: () => 0, describe } as unknown as MessageCodec;
    expect(descriptionOf(codec, new SchemaBudget())).toEqual(expected);
  });
});

describe('Introspection.services', () => {
  test('fits the limits of a caller, whatever the schemas of the server are', async () => {
    const large = z.object(
      Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`field${at}`, z.string()])),
    );
    const methods = Array.from({ length: 60 }, (_, at) => [
      `method${at}`,
      unary({ input: large, output: at === 0 ? z.date() : z.string() }),
    ]);
    const Large = contract('Large', Object.fromEntries(methods));
    const handlers = Object.fromEntries(methods.map(([name]) => [name as string, () => '']));
    await using server = await serve(freeMemoryAddress(), [implement(Large, handlers as never)], {
      introspection: true,
    });
    await using client = await connectOnce(server.address);
    const [described] = await client.stub(Introspection).services();
    const inputs = described?.methods.map(({ input }) => input) ?? [];
    expect(inputs[0]).toHaveProperty('jsonSchema');
    expect(described?.methods[0]?.output).toEqual({ vendor: 'zod', jsonSchemaOmitted: 'failed' });
    expect(inputs.at(-1)).toEqual({ vendor: 'zod', jsonSchemaOmitted: 'too-large' });
  });

  test('has the schemas of one service if it is named', async () => {
    const input = converting(() => ofSize(60_000));
    const services = ['A', 'B', 'C', 'D'].map((name) =>
      implement(contract(name, { one: unary({ input }), two: unary({ input }) }), {
        one: () => {},
        two: () => {},
      }),
    );
    await using server = await serve(freeMemoryAddress(), services, { introspection: true });
    await using client = await connectOnce(server.address);
    const stub = client.stub(Introspection);
    const omitted = { vendor: 'test', jsonSchemaOmitted: 'too-large' };
    const last = (await stub.services())[3];
    expect(last?.methods.map((method) => method.input)).toEqual([omitted, omitted]);
    for (let call = 0; call < 2; call++) {
      const [only, ...others] = await stub.services({ service: 'D' });
      expect([only?.name, others]).toEqual(['D', []]);
      for (const method of only?.methods ?? []) expect(method.input).toHaveProperty('jsonSchema');
    }
    const read = await getty('describe', server.address, '--json');
    expect(read.stdout).not.toContain('too-large');
  });

  test.each<[string, () => unknown, string]>([
    ['throws', () => expect.fail('no vendor'), 'unknown'],
    ['is no text', () => 5, 'unknown'],
    ['is long', () => 'v'.repeat(2_000_000), 'v'.repeat(100)],
  ])('describes all services if the vendor of a schema %s', async (_, vendor, shown) => {
    const { validate } = converting(() => ({}))['~standard'];
    let isRead = false;
    const props = { version: 1, validate, jsonSchema: undefined } as const;
    const input = {
      '~standard': {
        ...props,
        get vendor() {
          isRead = true;
          return vendor() as string;
        },
      },
    };
    const service = implement(contract('A', { one: unary({ input }) }), { one: () => {} });
    await using server = await serve(freeMemoryAddress(), [service], { introspection: true });
    await using client = await connectOnce(server.address);
    const [described] = await client.stub(Introspection).services();
    expect(described?.methods[0]?.input).toEqual({ vendor: shown });
    expect(isRead).toBe(true);
  });

  test('lets other work run between slow conversions', async () => {
    let turns = 0;
    const turnsAt: number[] = [];
    const slow = converting(() => {
      turnsAt.push(turns);
      const end = performance.now() + 11;
      while (performance.now() < end);
      return {};
    });
    const methods = Array.from({ length: 5 }, (_, at) => [`m${at}`, unary({ input: slow })]);
    const Slow = contract('Slow', Object.fromEntries(methods));
    const handlers = Object.fromEntries(methods.map(([name]) => [name as string, () => {}]));
    await using server = await serve(freeMemoryAddress(), [implement(Slow, handlers as never)], {
      introspection: true,
    });
    await using client = await connectOnce(server.address);
    const timer = setInterval(() => turns++, 0);
    const stub = client.stub(Introspection);
    const [one, other] = await Promise.all([stub.services(), stub.services()]);
    clearInterval(timer);
    expect(other).toEqual(one);
    expect(turnsAt).toHaveLength(5);
    expect(turnsAt.at(-1)).toBeGreaterThan(turnsAt[0] as number);
  });
});
