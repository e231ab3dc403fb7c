/** Validation with schemas on the serving side. */
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { withValidation } from '../../../src/rpc/contract/validation.js';
import {
  type CallContext,
  clientStream,
  contract,
  duplex,
  implement,
  noReply,
  oneway,
  RpcError,
  type Service,
  type StandardResult,
  type StandardSchemaV1,
  serverStream,
  unary,
} from '../../../src/rpc/index.js';
import { clientCall, collect, receivedCall, Source } from '../../fixtures/calls.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { outcome, pendingOf, rig } from '../../fixtures/rpc.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import { Inbox } from '../../fixtures/waiting.js';
import { digits, hex, schema, slowDigits } from './plain-schemas.js';

noLeaks();

/**
 * Makes a contract with each kind of method, which takes digits and returns hex, and records the
 * arguments of the handlers.
 */
function eachKind(input: StandardSchemaV1<string, number> = digits): {
  EachKind: typeof EachKind;
  service: Service;
  received: Inbox<unknown>;
} {
  const received = new Inbox<unknown>('a handler');
  const EachKind = contract('EachKind', {
    unary: unary({ input, output: hex }),
    oneway: oneway({ input }),
    noReply: noReply({ input }),
    down: serverStream({ input, output: hex }),
    up: clientStream({ input, output: hex }),
    ways: duplex({ input, output: hex }),
  });
  const service = implement(EachKind, {
    unary(value) {
      received.push(value);
      return value === 0 ? ('secret' as never) : value;
    },
    oneway: (value) => received.push(value),
    noReply: (value) => received.push(value),
    down(value) {
      received.push(value);
      return [1, value, value === 0 ? ('secret' as never) : 16];
    },
    async up(values) {
      let sum = 0;
      for await (const value of values) {
        received.push(value);
        sum += value;
      }
      return sum === 0 ? ('secret' as never) : sum;
    },
    async *ways(values, { input: same }) {
      expect(same).toBe(values);
      for await (const value of values) {
        received.push(value);
        yield value === 0 ? ('secret' as never) : value;
      }
    },
  });
  return { EachKind, service, received };
}

describe('an invalid reply of a stream fails the call, and ends the iteration, whose return()', () => {
  test.each<[string, () => unknown]>([
    ['returns', () => ({ done: true })],
    [
      'throws',
      () => {
        throw new Error('cleanup');
      },
    ],
    ['rejects', () => Promise.reject(new Error('cleanup'))],
    ['never settles', () => new Promise(() => {})],
  ])('%s', async (_, close) => {
    let closed = 0;
    const replies = {
      next: async () => ({ done: false, value: 'secret' }),
      return() {
        closed++;
        return close();
      },
      [Symbol.asyncIterator]: () => replies,
    };
    const Feed = contract('Feed', { live: serverStream<number, string>({ output: hex as never }) });
    const feed = implement(Feed, { live: () => replies as never });
    await using pair = await rig({ services: [feed] });
    expect(await rejection(collect(pair.client.stub(Feed).live(1)))).toMatchObject({
      code: 'INTERNAL',
      message: 'the reply of Feed.live is invalid',
    });
    expect(closed).toBe(1);
  });
});

describe.each([
  ['a synchronous schema', digits],
  ['an asynchronous schema', slowDigits],
])('every kind of method with %s', (_, input) => {
  test('passes the value of the schema to the handler and the caller', async () => {
    const { EachKind, service, received } = eachKind(input);
    await using pair = await rig({ services: [service] });
    const stub = pair.client.stub(EachKind);
    expect(await stub.unary('255')).toBe('ff');
    await stub.noReply('2');
    expect(await collect(stub.down('17'))).toEqual(['1', '11', '10']);
    expect(await stub.up(['100', '155'])).toBe('ff');
    expect(await collect(stub.ways(['10', '11']))).toEqual(['a', 'b']);
    await stub.oneway('1');
    expect(await received.take(8)).toEqual([255, 2, 17, 100, 155, 10, 11, 1]);
  });

  test('refuses an argument that the schema refuses', async () => {
    const { EachKind, service, received } = eachKind(input);
    await using pair = await rig({ services: [service] });
    const stub = pair.client.stub(EachKind);
    const refused = {
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/^the argument of EachKind\.\w+ is invalid: expected digits$/),
    };
    expect(await rejection(stub.unary('x'))).toMatchObject(refused);
    expect(await rejection(collect(stub.down('x')))).toMatchObject(refused);
    expect(await rejection(stub.up(['1', 'x', '2']))).toMatchObject(refused);
    expect(await rejection(collect(stub.ways(['1', 'x', '2'])))).toMatchObject(refused);
    expect(await rejection(stub.noReply('x'))).toMatchObject(refused);
    await stub.oneway('x');
    expect((await pair.serverLog.warnings.next()).details.error).toMatchObject(refused);
    expect([received.all, pendingOf(pair.client, pair.server)]).toEqual([[1, 1], 0]);
  });

  test('does not send a reply that the schema refuses', async () => {
    const { EachKind, service } = eachKind(input);
    await using pair = await rig({ services: [service] });
    const stub = pair.client.stub(EachKind);
    for (const failed of [
      stub.unary('0'),
      collect(stub.down('0')),
      stub.up(['0']),
      collect(stub.ways(['0'])),
    ]) {
      const error = await rejection<RpcError>(failed);
      expect(error).toMatchObject({
        code: 'INTERNAL',
        message: expect.stringMatching(/^the reply of EachKind\.\w+ is invalid$/),
      });
      expect(JSON.stringify(error)).not.toContain('secret');
    }
  });
});

describe('a faulty schema', () => {
  const fault = new Error('the secret of the schema');
  test.each<
    [string, (value: unknown) => StandardResult<unknown> | Promise<StandardResult<unknown>>]
  >([
    [
      'throws',
      () => {
        throw fault;
      },
    ],
    ['rejects', () => Promise.reject(fault)],
    ['returns no result', () => undefined as never],
    ['returns no result, asynchronously', async () => undefined as never],
  ])('fails its call with INTERNAL and hides the reason when it %s', async (_, validate) => {
    const broken = schema(validate);
    const good = schema<unknown>((value) => ({ value }));
    for (const [input, output] of [
      [broken, good],
      [good, broken],
    ] as const) {
      const Broken = contract('Broken', { ask: unary({ input, output }) });
      await using pair = await rig({ services: [implement(Broken, { ask: () => 'an answer' })] });
      const error = await rejection<RpcError>(pair.client.stub(Broken).ask(1));
      const what = input === broken ? 'argument' : 'reply';
      expect([error.code, error.message]).toEqual([
        'INTERNAL',
        `the schema of the ${what} of Broken.ask failed`,
      ]);
    }
  });
});

test('limits the message for long keys and many issues', async () => {
  const Wide = contract('Wide', {
    ask: unary({ input: z.record(z.string(), z.number()), output: z.unknown() }),
  });
  await using pair = await rig({ services: [implement(Wide, { ask: () => 1 })] });
  const keys = Array.from({ length: 1_000 }, (_, n) => [`${n} ${'k'.repeat(1_000)}`, 'x']);
  const error = await rejection(pair.client.stub(Wide).ask(Object.fromEntries(keys)));
  expect(error.message).toMatch(/^the argument of Wide\.ask is invalid: 0 kkk.*; and 995 more$/);
  expect(error.message.length).toBeLessThan(1_200);
});

test('accepts symbols and segments in the path of an issue', async () => {
  const input = schema<unknown>(() => ({
    issues: [
      { message: 'no', path: ['a', { key: 0 }, Symbol('s'), { key: Symbol('t') }] },
      { message: 'top', path: [] },
    ],
  }));
  const service = implement(contract('Odd', { ask: unary({ input, output: digits }) }), {
    ask: () => '1',
  });
  const { handler } = service.handlers.get('ask') as {
    handler: (input: unknown, context: CallContext) => unknown;
  };
  expect(thrown(() => handler(1, receivedCall()))).toMatchObject({
    message: 'the argument of Odd.ask is invalid: a.0.Symbol(s).Symbol(t): no; top',
  });
});

describe('withValidation()', () => {
  const handler = (input: unknown): unknown => input;

  test('returns the handler itself without schemas', () => {
    const { method } = clientCall();
    expect(withValidation(method, handler)).toBe(handler);
    expect(
      withValidation({ ...method, schemas: { input: undefined, output: undefined } }, handler),
    ).toBe(handler);
    // The reply of these methods is not sent.
    for (const kind of ['oneway', 'noReply'] as const)
      expect(
        withValidation({ ...method, kind, schemas: { input: undefined, output: hex } }, handler),
      ).toBe(handler);
  });

  test('creates no promise for a synchronous schema', () => {
    const { method } = clientCall();
    const checked = withValidation({ ...method, schemas: { input: digits, output: hex } }, handler);
    expect(checked('255', receivedCall())).toBe('ff');
    expect(thrown(() => checked('x', receivedCall()))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('copies the context only when the schema returns another value', () => {
    const { method } = clientCall();
    const contexts: unknown[] = [];
    const same = schema<unknown>((value) => ({ value }));
    const checked = withValidation(
      { ...method, schemas: { input: same, output: undefined } },
      (_, context) => contexts.push(context),
    );
    const context = receivedCall({ input: 'same' });
    checked('same', context);
    expect(contexts).toEqual([context]);
  });
});

test('closes the source of a stream when a message is refused', async () => {
  const { method } = clientCall({ kind: 'duplex' });
  const checked = withValidation(
    { ...method, schemas: { input: undefined, output: hex } },
    (input) => input,
  );
  const source = new Source(1, 'x', 2);
  expect(await outcome(collect(checked(source, receivedCall())))).toBe('INTERNAL');
  expect(source.left).toBe(true);
  const closed = new Source(1, 2);
  for await (const _ of checked(closed, receivedCall()) as AsyncIterable<unknown>) break;
  expect(closed.left).toBe(true);
  // The next stage refuses a reply that is not a stream.
  expect(checked(5, receivedCall())).toBe(5);
});

test.each([
  ['input', { input: {} }],
  ['input', { input: { '~standard': { version: 2, validate() {} } } }],
  ['output', { input: digits, output: 'string' }],
  ['output', { output: null }],
  ['timeout', { timeout: 0 }],
  ['options of unary()', 5],
])('unary() throws BAD_OPTION for an invalid %s: %j', (name, options) => {
  const error = thrown(() => unary(options as never));
  expect(error).toMatchObject({ code: 'BAD_OPTION' });
  expect(error.message.startsWith(`${name}: got `)).toBe(true);
});

test('accepts a schema that is a function', async () => {
  const callable = Object.assign(() => {}, digits);
  const Callable = contract('Callable', { ask: unary({ input: callable, output: hex }) });
  await using pair = await rig({ services: [implement(Callable, { ask: (value) => value })] });
  expect(await pair.client.stub(Callable).ask('255')).toBe('ff');
});

test('passes the error of a handler unchanged', async () => {
  const Own = contract('Own', { ask: unary({ input: digits, output: hex }) });
  const service = implement(Own, {
    ask(value) {
      if (value === 1) throw new RpcError('NOT_FOUND', 'there is none');
      return Promise.reject(new RpcError('ABORTED', 'not now'));
    },
  });
  await using pair = await rig({ services: [service] });
  const stub = pair.client.stub(Own);
  expect([await outcome(stub.ask('1')), await outcome(stub.ask('2'))]).toEqual([
    'NOT_FOUND',
    'ABORTED',
  ]);
});
