/**
 * The end of a call, for those who count: told once, whatever the answer is and whoever ends it.
 */
import { expect, test } from 'vitest';
import { type MethodKind, RpcError } from '../../../src/rpc/index.js';
import { invokeUntilEnd, isStream } from '../../../src/rpc/streams/call-end.js';
import { Calls, clientCall, collect, Source, scripted } from '../../fixtures/calls.js';
import { noLeaks } from '../../fixtures/leaks.js';

noLeaks();

test.each<[MethodKind, unknown, boolean]>([
  ['serverStream', new Source(), true],
  ['duplex', (async function* () {})(), true],
  ['serverStream', [1], true],
  ['unary', [1], false],
  ['clientStream', new Source(), false],
  ['serverStream', null, false],
  ['serverStream', undefined, false],
  ['serverStream', 'text', false],
  ['duplex', { [Symbol.asyncIterator]: 'not a function' }, false],
])('of a %s, %s is a stream: %s', (kind, value, expected) => {
  expect(isStream(clientCall({ kind }).method, value)).toBe(expected);
});

/** The ends that were told: a code, or OK. */
function ends(): { told: string[]; ended: (error: RpcError | undefined) => void } {
  const told: string[] = [];
  return { told, ended: (error) => told.push(error?.code ?? 'OK') };
}

test('an answer is the end, and so is an error of any kind', async () => {
  const { told, ended } = ends();
  const call = clientCall();
  expect(await invokeUntilEnd(scripted('done').invoke, call, ended)).toBe('done');
  const own = new Error('own');
  await expect(invokeUntilEnd(scripted(own).invoke, call, ended)).rejects.toBe(own);
  const nothing = invokeUntilEnd(() => Promise.reject(undefined), call, ended);
  await expect(nothing).rejects.toBe(undefined);
  const thrown = invokeUntilEnd(
    () => {
      throw new RpcError('ABORTED', 'at once');
    },
    call,
    ended,
  );
  await expect(thrown).rejects.toMatchObject({ code: 'ABORTED' });
  expect(told).toEqual(['OK', 'UNKNOWN', 'UNKNOWN', 'ABORTED']);
});

test('a stream ends once: at its end, its error, or when it is left', async () => {
  const { told, ended } = ends();
  const stream = async (source: AsyncIterable<unknown>) =>
    (await invokeUntilEnd(
      scripted(source).invoke,
      clientCall({ kind: 'serverStream' }),
      ended,
    )) as Source;
  const whole = await stream(new Source(1, 2));
  expect(told).toEqual([]);
  expect([await collect(whole), await collect(whole), told]).toEqual([[1, 2], [], ['OK']]);
  await expect(
    collect(await stream(new Source(1, new RpcError('DATA_LOSS', 'torn')))),
  ).rejects.toThrow('torn');
  const source = new Source(1, 2);
  for await (const item of await stream(source)) if (item === 1) break;
  expect([told, source.left]).toEqual([['OK', 'DATA_LOSS', 'OK'], true]);
});

test('a stream without return() and throw() can be left, and thrown into', async () => {
  const { told, ended } = ends();
  const bare = {
    [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: false, value: 1 }) }),
  } as AsyncIterable<unknown>;
  const items = async () =>
    (
      (await invokeUntilEnd(
        scripted(bare).invoke,
        clientCall({ kind: 'serverStream' }),
        ended,
      )) as AsyncIterable<unknown>
    )[Symbol.asyncIterator]() as AsyncGenerator<unknown>;
  expect(await (await items()).return('left')).toEqual({ done: true, value: 'left' });
  await expect((await items()).throw(new RpcError('ABORTED', 'thrown in'))).rejects.toThrow(
    'thrown in',
  );
  const generator = (async function* () {
    try {
      yield 1;
    } catch {
      yield 2;
    }
  })();
  const thrownInto = (await invokeUntilEnd(
    scripted(generator).invoke,
    clientCall({ kind: 'serverStream' }),
    ended,
  )) as AsyncGenerator<unknown>;
  const iterator = thrownInto[Symbol.asyncIterator]();
  await iterator.next();
  expect([await iterator.throw(new Error('caught')), told]).toEqual([
    { done: false, value: 2 },
    ['OK', 'ABORTED'],
  ]);
  await iterator.return(undefined);
  expect(told).toEqual(['OK', 'ABORTED', 'OK']);
});

test('what a handler gives may be an array', async () => {
  const { told, ended } = ends();
  const stream = await invokeUntilEnd(
    scripted([1, 2]).invoke,
    clientCall({ kind: 'serverStream' }),
    ended,
  );
  expect(told).toEqual([]);
  expect([await collect(stream), told]).toEqual([[1, 2], ['OK']]);
});

test('a stream of a call that was aborted before has ended', async () => {
  const { told, ended } = ends();
  const calls = new Calls();
  const abort = new AbortController();
  const answer = invokeUntilEnd(
    calls.invoke,
    clientCall({ kind: 'serverStream', signal: abort.signal, timeout: 60_000 }),
    ended,
  );
  abort.abort();
  calls.open(0, new Source(1));
  expect([await collect(await answer), told]).toEqual([[1], ['CANCELLED']]);
});
