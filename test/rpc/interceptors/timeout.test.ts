/** timeout(): bounds the duration of a call, on both sides. */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { type CallContext, type RpcError, timeout } from '../../../src/rpc/index.js';
import {
  Calls,
  clientCall,
  collect,
  receivedCall,
  Source,
  scripted,
} from '../../fixtures/calls.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';
import { outcome } from '../../fixtures/rpc.js';
import { rejection, thrown } from '../../fixtures/transports.js';
import { gate } from '../../fixtures/waiting.js';

fakeTime();

test.each([0, -1, Number.NaN, '5', undefined, null])(
  'throws BAD_OPTION for a limit of %s',
  (ms) => {
    expect(thrown(() => timeout(ms as number))).toMatchObject({ code: 'BAD_OPTION' });
  },
);

test.each<[of: number | undefined, limit: number, timeout: number | undefined]>([
  [undefined, 100, 100],
  [500, 100, 100],
  [100, 500, 100],
  [100, 100, 100],
  [100, Number.POSITIVE_INFINITY, 100],
  [undefined, Number.POSITIVE_INFINITY, undefined],
])('on a client, a call of %s ms bound by %s ms has %s', async (of, limit, expected) => {
  const { invoke, calls } = scripted('done');
  const call = clientCall({ timeout: of });
  expect(await timeout(limit)(invoke)(call)).toBe('done');
  expect(calls[0]?.timeout).toBe(expected);
  if (of === expected) expect(calls[0]).toBe(call);
});

describe('on a server', () => {
  test('answers the caller at the limit and aborts the handler’s signal', async () => {
    const calls = new Calls();
    const received = receivedCall({ timeout: 5_000 });
    const answer = rejection<RpcError>(timeout(100)(calls.invoke)(received));
    const [{ call: context }] = calls.all as unknown as [{ call: CallContext }];
    expect([context.timeout, context.deadline]).toEqual([100, performance.now() + 100]);
    const { signal } = context;
    await pass(99);
    expect(signal.aborted).toBe(false);
    await pass(1);
    expect(await answer).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: 'Service.ask was not done within 100 ms',
    });
    expect(signal.reason).toBe(await answer);
    // A signal that is read after the limit has aborted too. A late reply is dropped.
    expect(context.with({ metadata: {} }).signal).toBe(signal);
    calls.fail(0, new Error('too late'));
    await pass(0);
    expect(getEventListeners(received.signal, 'abort')).toEqual([]);
  });

  test('aborts with the signal of the call and removes its listener', async () => {
    const calls = new Calls();
    const abort = new AbortController();
    const answer = timeout(100)(calls.invoke)(receivedCall({ signal: abort.signal }));
    const signal = calls.all[0]?.call.signal;
    abort.abort('lost');
    expect([signal?.aborted, signal?.reason]).toEqual([true, 'lost']);
    calls.open(0);
    expect(await answer).toBe('done');
    expect(getEventListeners(abort.signal, 'abort')).toEqual([]);
    // Aborted before the first access.
    const again = timeout(100)(calls.invoke)(receivedCall({ signal: abort.signal }));
    expect(calls.all[1]?.call.signal?.reason).toBe('lost');
    calls.fail(1, new Error('no'));
    await expect(again).rejects.toThrow('no');
  });

  test('leaves no listener at a signal that is first read after the answer', async () => {
    const abort = new AbortController();
    const { invoke, calls } = scripted('done');
    expect(await timeout(100)(invoke)(receivedCall({ signal: abort.signal }))).toBe('done');
    expect(calls[0]?.signal?.aborted).toBe(false);
    expect(getEventListeners(abort.signal, 'abort')).toEqual([]);
  });

  test('passes a call with a nearer deadline unchanged', async () => {
    const { invoke, calls } = scripted('done');
    const call = receivedCall({ timeout: 50 });
    expect(await timeout(100)(invoke)(call)).toBe('done');
    expect(calls[0]).toBe(call);
  });

  test('passes each call unchanged when the limit is Infinity', async () => {
    const { invoke, calls } = scripted('done');
    const call = receivedCall();
    expect(await timeout(Number.POSITIVE_INFINITY)(invoke)(call)).toBe('done');
    expect(calls[0]).toBe(call);
  });

  test('rejects with a synchronous throw', async () => {
    const call = timeout(100)(() => {
      throw new TypeError('at once');
    })(receivedCall());
    await expect(call).rejects.toThrow('at once');
  });
});

describe('a stream on a server', () => {
  test('rejects the call when opening it throws', async () => {
    const failure = new Error('closed today');
    const answer = {
      [Symbol.asyncIterator](): never {
        throw failure;
      },
    };
    const { invoke } = scripted(answer);
    const error = await rejection(timeout(100)(invoke)(receivedCall({ kind: 'serverStream' })));
    expect(error).toBe(failure);
  });

  test('passes a stream that ends in time unchanged', async () => {
    const stream = await timeout(100)(scripted(new Source(1, 2)).invoke)(
      receivedCall({ kind: 'serverStream' }),
    );
    expect(await collect(stream)).toEqual([1, 2]);
  });

  test('passes the error of a stream', async () => {
    const stream = await timeout(100)(scripted(new Source(1, new TypeError('broken'))).invoke)(
      receivedCall({ kind: 'serverStream' }),
    );
    await expect(collect(stream)).rejects.toThrow('broken');
  });

  test('fails the pending read at the limit and closes the source', async () => {
    const more = gate<never>();
    const source = Object.assign(new Source(), { next: () => more.promise });
    const stream = await timeout(100)(scripted(source).invoke)(
      receivedCall({ kind: 'serverStream' }),
    );
    const read = outcome(collect(stream));
    await pass(100);
    expect([await read, source.left]).toEqual(['DEADLINE_EXCEEDED', true]);
  });

  test('closes a stream that is not read at the limit, and fails later reads', async () => {
    const source = new Source(1);
    const stream = await timeout(100)(scripted(source).invoke)(
      receivedCall({ kind: 'serverStream' }),
    );
    await pass(100);
    expect([source.left, await outcome(collect(stream))]).toEqual([true, 'DEADLINE_EXCEEDED']);
  });

  test('closes the source when its reader closes it', async () => {
    const source = new Source(1, 2);
    const stream = (await timeout(100)(scripted(source).invoke)(
      receivedCall({ kind: 'serverStream' }),
    )) as AsyncIterable<unknown>;
    for await (const _ of stream) break;
    expect(source.left).toBe(true);
  });

  test('closes a stream that begins after the limit', async () => {
    const source = new Source(1);
    const begin = gate<Source>();
    const answer = outcome(
      timeout(100)(() => begin.promise)(receivedCall({ kind: 'serverStream' })),
    );
    await pass(100);
    expect(await answer).toBe('DEADLINE_EXCEEDED');
    begin.open(source);
    await pass(0);
    expect(source.left).toBe(true);
  });
});
