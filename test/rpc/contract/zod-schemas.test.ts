/** Contracts with schemas of zod, and the types of contracts with schemas. */
import { describe, expect, expectTypeOf, test } from 'vitest';
import { z } from 'zod';
import {
  clientStream,
  contract,
  duplex,
  type Interceptor,
  implement,
  noReply,
  oneway,
  type RpcClient,
  type RpcError,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { pendingOf, rig } from '../../fixtures/rpc.js';
import { rejection } from '../../fixtures/transports.js';
import { digits, hex, schema } from './plain-schemas.js';

noLeaks();

const Person = z.object({
  name: z.string().min(1),
  address: z.object({ zip: z.string(), lines: z.array(z.string()).optional() }),
  age: z.number().default(18),
});
const Stored = z.object({ id: z.number(), at: z.date().transform((date) => date.toISOString()) });
const People = contract('People', {
  add: unary({ input: Person, output: Stored, idempotent: true, timeout: 5_000 }),
});

/** Compiled and never run. */
async function types(client: RpcClient): Promise<void> {
  const stub = client.stub(People);
  expectTypeOf(stub.add)
    .parameter(0)
    .toExtend<{ name: string; address: { zip: string }; age?: number | undefined }>();
  const stored = await stub.add({ name: 'Ann', address: { zip: '10115' } });
  expectTypeOf(stored).toEqualTypeOf<{ id: number; at: string }>();
  // @ts-expect-error a field is missing
  await stub.add({ name: 'Ann' });
  implement(People, {
    add(person) {
      expectTypeOf(person.age).toEqualTypeOf<number>();
      return { id: 1, at: new Date() };
    },
  });
  // @ts-expect-error the handler returns the input type of the schema
  implement(People, { add: () => ({ id: 1, at: 'today' }) });
  const Own = contract('Own', {
    both: unary({ input: digits, output: hex }),
    written: unary<string, number>({
      input: schema<string>((value) => ({ value: String(value) })),
    }),
    silent: oneway({ input: digits }),
    word: noReply({ input: digits, timeout: 5 }),
    down: serverStream({ input: digits, output: hex }),
    up: clientStream({ input: digits, output: hex }),
    ways: duplex({ input: digits, output: hex }),
  });
  const own = client.stub(Own);
  expectTypeOf(await own.both('1')).toEqualTypeOf<string>();
  expectTypeOf(await own.written('1')).toEqualTypeOf<number>();
  expectTypeOf(await own.silent('1')).toEqualTypeOf<void>();
  expectTypeOf(await own.up(['1'])).toEqualTypeOf<string>();
  for await (const item of own.down('1')) expectTypeOf(item).toEqualTypeOf<string>();
  for await (const item of own.ways(['1'])) expectTypeOf(item).toEqualTypeOf<string>();
  // @ts-expect-error the argument is text
  await own.both(1);
  implement(Own, {
    both: (input) => input,
    written: (input) => input.length,
    silent: (input) => void expectTypeOf(input).toEqualTypeOf<number>(),
    word: (input) => void expectTypeOf(input).toEqualTypeOf<number>(),
    down: (input) => [input],
    async up(input) {
      for await (const item of input) expectTypeOf(item).toEqualTypeOf<number>();
      return 1;
    },
    ways: (input) => input,
  });
  // @ts-expect-error the schema has another type than the type argument
  unary<string, number>({ input: digits });
  // @ts-expect-error a method without reply has no output schema
  oneway({ input: digits, output: hex });
}
void types;

describe('a contract with schemas of zod', () => {
  const received: unknown[] = [];
  const service = implement(People, {
    add(person, { input }) {
      received.push(person, input);
      return { id: person.name === 'bad' ? ('the secret' as never) : 7, at: new Date(0) };
    },
  });

  test('passes the values that the schemas return', async () => {
    await using pair = await rig({ services: [service] });
    received.length = 0;
    const reply = await pair.client
      .stub(People)
      .add({ name: 'Ann', address: { zip: '10115' }, more: 'is left out' } as never);
    expect(reply).toEqual({ id: 7, at: '1970-01-01T00:00:00.000Z' });
    const person = { name: 'Ann', address: { zip: '10115' }, age: 18 };
    expect(received).toEqual([person, person]);
  });

  test.each([
    [
      { name: 'Ann', address: { zip: 10115 } },
      'address.zip: Invalid input: expected string, received number',
    ],
    [
      { name: 'Ann', address: { zip: '1', lines: ['a', 5] } },
      'address.lines.1: Invalid input: expected string, received number',
    ],
    [
      { address: { zip: '1' }, age: 'x' },
      'name: Invalid input: expected string, received undefined; age: Invalid input: expected number, received string',
    ],
    [undefined, 'Invalid input: expected object, received undefined'],
    [5, 'Invalid input: expected object, received number'],
  ])('refuses %j with the issues', async (input, why) => {
    await using pair = await rig({ services: [service] });
    received.length = 0;
    const error = await rejection(pair.client.stub(People).add(input as never));
    expect(error).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: `the argument of People.add is invalid: ${why}`,
    });
    expect([received, pendingOf(pair.client, pair.server)]).toEqual([[], 0]);
  });

  test('does not send an invalid reply or its issues', async () => {
    const errors: RpcError[] = [];
    const recordErrors: Interceptor = (next) => (call) =>
      next(call).catch((error) => {
        errors.push(error);
        throw error;
      });
    await using pair = await rig({ services: [service], server: { interceptors: [recordErrors] } });
    const error = await rejection<RpcError>(
      pair.client.stub(People).add({ name: 'bad', address: { zip: '1' } }),
    );
    expect([error.code, error.message]).toEqual(['INTERNAL', 'the reply of People.add is invalid']);
    // The server's error has the issues as its cause.
    expect(errors.map(({ cause }) => (cause as Error).message)).toEqual([
      'id: Invalid input: expected number, received string',
    ]);
  });
});
