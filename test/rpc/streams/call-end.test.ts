/** invokeUntilEnd(), which reports the end of a call once. */
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
])('isStream() of a call of kind %s with the answer %s is %s', (kind, value, expected) => {
  expect(isStream(clientCall({ kind }).method, value)).toBe(expected);
});

/** The reported ends: a code, or OK. */
function recordEnds(): { ends: string[]; onEnd: (error: RpcError | undefined) => void } {
  const ends: string[] = [];
  return { ends, onEnd: (error) => ends.push(error?.code ?? 'OK') };
}

test('a call without a stream ends with its answer or its error', async () => {
  const { ends, onEnd } = recordEnds();
  const call = clientCall();
  expect(await invokeUntilEnd(scripted('done').invoke, call, onEnd)).toBe('done');
  const own = new Error('own');
  await expect(invokeUntilEnd(scripted(own).invoke, call, onEnd)).rejects.toBe(own);
  const nothing = invokeUntilEnd(() => Promise.reject(undefined), call, onEnd);
  await expect(nothing).rejects.toBe(undefined);
  const thrown = invokeUntilEnd(
    () => {
      throw new RpcError('ABORTED', 'at once');
    },
    call,
    onEnd,
  );
  await expect(thrown).rejects.toMatchObject({ code: 'ABORTED' });
  expect(ends).toEqual(['OK', 'UNKNOWN', 'UNKNOWN', 'ABORTED']);
});

test('a stream ends with its last item, its error, or return() of its reader', async () => {
  const { ends, onEnd } = recordEnds();
  const stream = async (source: AsyncIterable<unknown>) =>
    (await invokeUntilEnd(
      scripted(source).invoke,
      clientCall({ kind: 'serverStream' }),
      onEnd,
    )) as Source;
  const whole = await stream(new Source(1, 2));
  expect(ends).toEqual([]);
  expect([await collect(whole), await collect(whole), ends]).toEqual([[1, 2], [], ['OK']]);
  await expect(
    collect(await stream(new Source(1, new RpcError('DATA_LOSS', 'torn')))),
  ).rejects.toThrow('torn');
  const source = new Source(1, 2);
  for await (const item of await stream(source)) if (item === 1) break;
  expect([ends, source.left]).toEqual([['OK', 'DATA_LOSS', 'OK'], true]);
});

test('return() and throw() of a stream end it, also if its source has neither', async () => {
  const { ends, onEnd } = recordEnds();
  const bare = {
    [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: false, value: 1 }) }),
  } as AsyncIterable<unknown>;
  const items = async () =>
    (
      (await invokeUntilEnd(
        scripted(bare).invoke,
        clientCall({ kind: 'serverStream' }),
        onEnd,
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
    onEnd,
  )) as AsyncGenerator<unknown>;
  const iterator = thrownInto[Symbol.asyncIterator]();
  await iterator.next();
  expect([await iterator.throw(new Error('caught')), ends]).toEqual([
    { done: false, value: 2 },
    ['OK', 'ABORTED'],
  ]);
  await iterator.return(undefined);
  expect(ends).toEqual(['OK', 'ABORTED', 'OK']);
});

test('an array is a stream', async () => {
  const { ends, onEnd } = recordEnds();
  const stream = await invokeUntilEnd(
    scripted([1, 2]).invoke,
    clientCall({ kind: 'serverStream' }),
    onEnd,
  );
  expect(ends).toEqual([]);
  expect([await collect(stream), ends]).toEqual([[1, 2], ['OK']]);
});

test('a stream has ended if its call was aborted before', async () => {
  const { ends, onEnd } = recordEnds();
  const calls = new Calls();
  const abort = new AbortController();
  const answer = invokeUntilEnd(
    calls.invoke,
    clientCall({ kind: 'serverStream', signal: abort.signal, timeout: 60_000 }),
    onEnd,
  );
  abort.abort();
  calls.open(0, new Source(1));
  expect([await collect(await answer), ends]).toEqual([[1], ['CANCELLED']]);
});
