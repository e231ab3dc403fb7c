/**
 * The types of stubs and handlers. The compiler checks this file; `@ts-expect-error` marks the
 * lines that must not compile.
 */
import { create } from '@bufbuild/protobuf';
import { expect, expectTypeOf, test } from 'vitest';
import { AddRequestSchema, TestService as descriptor } from '../../../demo/test_service_pb.js';
import {
  type CallContext,
  type Contract,
  contract,
  type Handlers,
  type Interceptor,
  implement,
  oneway,
  type RpcClient,
  type Service,
  type SpecsOf,
  type Stub,
  unary,
} from '../../../src/rpc/index.js';

const Greeter = contract(
  'Greeter',
  {
    hello: unary<string, string>(),
    sum: unary<{ A: number; B: number }, { Sum: number }>(),
    tell: oneway<{ what: string }>(),
    none: unary<void, void>(),
  },
  { version: 'v1' },
);
type GreeterSpecs = typeof Greeter extends Contract<infer Specs> ? Specs : never;
const Tests = contract(descriptor);

/** Compiled and never run. */
async function calls(client: RpcClient): Promise<void> {
  const stub = client.stub(Greeter);
  expectTypeOf(await stub.hello('world')).toEqualTypeOf<string>();
  expectTypeOf(await stub.sum({ A: 1, B: 2 }, { timeout: 5 })).toEqualTypeOf<{ Sum: number }>();
  expectTypeOf(await stub.tell({ what: 'x' })).toEqualTypeOf<void>();
  expectTypeOf(await stub.none()).toEqualTypeOf<void>();
  expectTypeOf(
    stub.hello('world', (error, reply) => {
      expectTypeOf(error).toEqualTypeOf<Error | null>();
      expectTypeOf(reply).toEqualTypeOf<string | undefined>();
    }),
  ).toEqualTypeOf<void>();
  stub.hello(
    'world',
    { timeout: 5, signal: AbortSignal.timeout(5), metadata: { a: 'b' } },
    () => {},
  );
  // @ts-expect-error the argument is text
  await stub.hello(5);
  // @ts-expect-error the argument is missing
  await stub.hello();
  // @ts-expect-error a field is missing
  await stub.sum({ A: 1 });
  // @ts-expect-error a field is of another type
  await stub.sum({ A: 1, B: '2' });
  // @ts-expect-error there is no such method
  await stub.goodbye('world');
  // @ts-expect-error there is no such option
  await stub.hello('world', { deadline: 5 });
  // @ts-expect-error the values of metadata are text
  await stub.hello('world', { metadata: { a: 1 } });
  // @ts-expect-error the reply is text
  const wrong: number = await stub.hello('world');
  // @ts-expect-error the reply of the callback is text
  stub.hello('world', (_, reply: number) => reply);
  // @ts-expect-error the properties of a stub are read-only
  stub.hello = stub.goodbye;
  // @ts-expect-error there is no such codec
  client.stub(Greeter, { codec: 'xml' });
  void wrong;

  const tests = client.stub(Tests, { codec: 'json' });
  expectTypeOf((await tests.add({ A: 1, B: 2 })).Sum).toEqualTypeOf<number>();
  expectTypeOf((await tests.test(create(AddRequestSchema) as never)).A).toEqualTypeOf<string>();
  // @ts-expect-error the field is a number
  await tests.add({ A: 'x' });
  // @ts-expect-error there is no such field
  await tests.add({ C: 1 });
  // @ts-expect-error the local name begins with a small letter
  await tests.Add({ A: 1 });
}

/** Compiled and never run. */
function handlers(): Service[] {
  implement(Greeter, {
    hello(name, context) {
      expectTypeOf(name).toEqualTypeOf<string>();
      expectTypeOf(context).toEqualTypeOf<CallContext>();
      expectTypeOf(context.signal).toEqualTypeOf<AbortSignal>();
      return Promise.resolve(name);
    },
    sum: ({ A, B }) => ({ Sum: A + B }),
    tell() {},
    none: async () => {},
  });
  // @ts-expect-error handlers are missing
  implement(Greeter, { hello: (name) => name });
  // @ts-expect-error the reply is text
  implement(Greeter, { hello: () => 5, sum: ({ A, B }) => ({ Sum: A + B }), tell() {}, none() {} });
  implement(Greeter, {
    // @ts-expect-error the argument is text
    hello: (name: number) => `${name}`,
    sum: ({ A, B }) => ({ Sum: A + B }),
    tell() {},
    none() {},
  });
  // @ts-expect-error unary is a function that returns a method
  contract('A', { x: unary });
  // @ts-expect-error a version is text
  contract('A', { x: unary() }, { version: 1 });
  // @ts-expect-error oneway methods have no timeout
  contract('A', { x: oneway({ timeout: 5 }) });
  // @ts-expect-error an interceptor takes the next one first
  const wrong: Interceptor = (call: { input: string }) => Promise.resolve(call.input);
  const right: Interceptor = (next) => (call) => next(call.with({ timeout: 5 }));
  void [wrong, right];
  const whole: Handlers<SpecsOf<typeof descriptor>> = {
    test: ({ A }) => ({ A }),
    add: async ({ A, B }) => ({ Sum: A + B }),
    err: () => ({}),
    // @ts-expect-error the argument has no such field
    event: ({ B }) => ({ B }),
  };
  return [implement(Tests, whole)];
}

void [calls, handlers];

test('a contract has the methods of its types at run time', () => {
  expectTypeOf<keyof Stub<GreeterSpecs>>().toEqualTypeOf<'hello' | 'sum' | 'tell' | 'none'>();
  expect([...Greeter.methods.keys()]).toEqual(['hello', 'sum', 'tell', 'none']);
  expect([...Tests.methods.keys()]).toEqual(['test', 'add', 'err', 'event']);
  expect(
    [...Tests.methods.values()].map(({ name, kind, idempotent }) => [name, kind, idempotent]),
  ).toEqual([
    ['Test', 'unary', true],
    ['Add', 'unary', true],
    ['Err', 'unary', false],
    ['Event', 'unary', false],
  ]);
  expect([Greeter.codec, Greeter.codecs, Tests.codec, Tests.codecs]).toEqual([
    'json',
    ['json'],
    'protobuf',
    ['protobuf', 'json'],
  ]);
  expect([Greeter.methods.get('tell')?.kind, Greeter.version, Tests.version, Tests.name]).toEqual([
    'oneway',
    'v1',
    '',
    'TestService',
  ]);
});
