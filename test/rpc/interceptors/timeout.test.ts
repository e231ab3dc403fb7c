/** timeout(): a call takes no longer than this, on either side. */
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
  'a bound of %s is refused when it is made',
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
  test('the caller is answered in time, and the handler told', async () => {
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
    // A signal that is touched too late has aborted too, and what comes late is nobody's.
    expect(context.with({ metadata: {} }).signal).toBe(signal);
    calls.fail(0, new Error('too late'));
    await pass(0);
    expect(getEventListeners(received.signal, 'abort')).toEqual([]);
  });

  test('the signal follows that of the call, and leaves nothing there', async () => {
    const calls = new Calls();
    const abort = new AbortController();
    const answer = timeout(100)(calls.invoke)(receivedCall({ signal: abort.signal }));
    const signal = calls.all[0]?.call.signal;
    abort.abort('lost');
    expect([signal?.aborted, signal?.reason]).toEqual([true, 'lost']);
    calls.open(0);
    expect(await answer).toBe('done');
    expect(getEventListeners(abort.signal, 'abort')).toEqual([]);
    // Aborted before it is touched.
    const again = timeout(100)(calls.invoke)(receivedCall({ signal: abort.signal }));
    expect(calls.all[1]?.call.signal?.reason).toBe('lost');
    calls.fail(1, new Error('no'));
    await expect(again).rejects.toThrow('no');
  });

  test('a call whose caller gives up earlier is passed on as it is', async () => {
    const { invoke, calls } = scripted('done');
    const call = receivedCall({ timeout: 50 });
    expect(await timeout(100)(invoke)(call)).toBe('done');
    expect(calls[0]).toBe(call);
  });

  test('Infinity is no bound', async () => {
    const { invoke, calls } = scripted('done');
    const call = receivedCall();
    expect(await timeout(Number.POSITIVE_INFINITY)(invoke)(call)).toBe('done');
    expect(calls[0]).toBe(call);
  });

  test('what is thrown at once is the error of the call', async () => {
    const call = timeout(100)(() => {
      throw new TypeError('at once');
    })(receivedCall());
    await expect(call).rejects.toThrow('at once');
  });
});

describe('a stream on a server', () => {
  test('an iterable that throws when it is opened is the failure of the call', async () => {
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

  test('that is at its end in time is the same', async () => {
    const stream = await timeout(100)(scripted(new Source(1, 2)).invoke)(
      receivedCall({ kind: 'serverStream' }),
    );
    expect(await collect(stream)).toEqual([1, 2]);
  });

  test('that fails, fails', async () => {
    const stream = await timeout(100)(scripted(new Source(1, new TypeError('torn'))).invoke)(
      receivedCall({ kind: 'serverStream' }),
    );
    await expect(collect(stream)).rejects.toThrow('torn');
  });

  test('that is late fails where it is read, and its source is left', async () => {
    const more = gate<never>();
    const source = Object.assign(new Source(), { next: () => more.promise });
    const stream = await timeout(100)(scripted(source).invoke)(
      receivedCall({ kind: 'serverStream' }),
    );
    const read = outcome(collect(stream));
    await pass(100);
    expect([await read, source.left]).toEqual(['DEADLINE_EXCEEDED', true]);
  });

  test('that nobody reads is left when its time is over, and fails whoever comes later', async () => {
    const source = new Source(1);
    const stream = await timeout(100)(scripted(source).invoke)(
      receivedCall({ kind: 'serverStream' }),
    );
    await pass(100);
    expect([source.left, await outcome(collect(stream))]).toEqual([true, 'DEADLINE_EXCEEDED']);
  });

  test('that its reader leaves is left', async () => {
    const source = new Source(1, 2);
    const stream = (await timeout(100)(scripted(source).invoke)(
      receivedCall({ kind: 'serverStream' }),
    )) as AsyncIterable<unknown>;
    for await (const _ of stream) break;
    expect(source.left).toBe(true);
  });

  test('that begins too late is left', async () => {
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
