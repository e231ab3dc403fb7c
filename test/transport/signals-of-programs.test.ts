/** Objects of a program that have the methods of an AbortSignal, and throw. */
import { expect, test } from 'vitest';
import {
  connect as connectRpc,
  contract,
  implement,
  serve as serveRpc,
  unary,
} from '../../src/rpc/index.js';
import { simulate } from '../../src/testing/index.js';
import { connect, lines, type SessionSetup, serve } from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { rejection } from '../fixtures/transports.js';

noLeaks();

const setup: SessionSetup<string> = { codec: lines(), listener: { onMessage() {} } };

const failing = (): never => {
  throw new TypeError('the signal throws');
};

/** A signal whose property `name` is a method that throws, or, for `reason`, a getter. */
function signalWithout(name: 'addEventListener' | 'removeEventListener' | 'reason') {
  const abort = new AbortController();
  const property = name === 'reason' ? { get: failing } : { value: failing };
  Object.defineProperty(abort.signal, name, property);
  return abort;
}

const INCOMPLETE = { aborted: false, addEventListener() {} } as unknown as AbortSignal;

test.each(['addEventListener', 'removeEventListener', 'reason'] as const)(
  'a signal whose %s throws does not disturb connect(), send(), calls and simulate()',
  async (name) => {
    const { signal } = signalWithout(name);
    await using server = await serve('memory://signals', setup);
    await using client = await connect(server.address, setup, { signal });
    const session = await client.session();
    await Promise.all([session.send('one', { signal }), session.send('two')]);
    const Greeter = contract('Greeter', { hello: unary<string, string>() });
    await using rpc = await serveRpc('memory://signals-rpc', [
      implement(Greeter, { hello: () => 'hello' }),
    ]);
    await using caller = await connectRpc(rpc.address);
    expect(await caller.stub(Greeter).hello('Ann', { signal })).toBe('hello');
    const { setTimeout } = globalThis;
    expect(await simulate({ signal }, async () => 'done')).toMatchObject({ value: 'done' });
    expect(globalThis.setTimeout).toBe(setTimeout);
  },
);

test('an abort whose reason throws has the exception as its cause', async () => {
  await using server = await serve('memory://signals', setup);
  await using client = await connect(server.address, setup);
  const session = await client.session();
  const abort = signalWithout('reason');
  abort.abort();
  const error = await rejection(session.send('never', { signal: abort.signal }));
  expect(error).toMatchObject({
    code: 'ABORTED_BY_CALLER',
    cause: { message: 'the signal throws' },
  });
  const Greeter = contract('Greeter', { hello: unary<string, string>() });
  await using rpc = await serveRpc('memory://signals-rpc', [
    implement(Greeter, { hello: () => new Promise<never>(() => {}) }),
  ]);
  await using caller = await connectRpc(rpc.address);
  const later = signalWithout('reason');
  const call = caller.stub(Greeter).hello('Ann', { signal: later.signal });
  setImmediate(() => later.abort());
  await expect(call).rejects.toMatchObject({ code: 'CANCELLED' });
  caller.destroy();
  rpc.destroy();
});

test('a signal without removeEventListener is BAD_OPTION', async () => {
  const signal = INCOMPLETE;
  await using server = await serve('memory://signals', setup);
  const refused = { code: 'BAD_OPTION' };
  await expect(connect(server.address, setup, { signal })).rejects.toMatchObject(refused);
  expect(server.sessions.size).toBe(0);
  await expect(simulate({ signal }, async () => 'done')).rejects.toMatchObject(refused);
});
