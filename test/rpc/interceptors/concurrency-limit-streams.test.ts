/** concurrencyLimit() of calls whose replies stream. */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { concurrencyLimit, RpcError } from '../../../src/rpc/index.js';
import { type CallDraft, clientCall, collect, Source, scripted } from '../../fixtures/calls.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';
import { outcome } from '../../fixtures/rpc.js';

fakeTime();

describe('a stream keeps its slot', () => {
  async function streaming(
    draft: CallDraft = {},
  ): Promise<{ stream: AsyncIterable<unknown>; source: Source; next(): Promise<string> }> {
    const source = new Source(1, 2, 3);
    const invoke = concurrencyLimit({ limit: 1, queue: 0 })(scripted(source, 'done').invoke);
    return {
      stream: (await invoke(
        clientCall({ ...draft, kind: 'serverStream' }),
      )) as AsyncIterable<unknown>,
      source,
      next: () => outcome(invoke(clientCall())),
    };
  }

  test('until it is read to the end', async () => {
    const { stream, next } = await streaming();
    const items = stream[Symbol.asyncIterator]();
    for (const value of [1, 2, 3])
      expect([await items.next(), await next()]).toEqual([
        { done: false, value },
        'RESOURCE_EXHAUSTED',
      ]);
    expect([await items.next(), await next()]).toEqual([{ done: true, value: 'the end' }, 'ok']);
  });

  test('until it fails', async () => {
    const invoke = concurrencyLimit({ limit: 1, queue: 0 })(
      scripted(new Source(1, new RpcError('ABORTED', 'broken')), 'done').invoke,
    );
    expect(await outcome(collect(await invoke(clientCall({ kind: 'serverStream' }))))).toBe(
      'ABORTED',
    );
    expect(await outcome(invoke(clientCall()))).toBe('ok');
  });

  test('until its reader closes it', async () => {
    const { stream, source, next } = await streaming();
    for await (const _ of stream) break;
    expect([source.left, await next()]).toEqual([true, 'ok']);
  });

  test('until its signal aborts or its deadline passes, also when it is not read', async () => {
    const abort = new AbortController();
    const aborted = await streaming({ signal: abort.signal });
    const late = await streaming({ timeout: 100 });
    expect([await aborted.next(), await late.next()]).toEqual([
      'RESOURCE_EXHAUSTED',
      'RESOURCE_EXHAUSTED',
    ]);
    abort.abort();
    await pass(100);
    expect([
      await aborted.next(),
      await late.next(),
      getEventListeners(abort.signal, 'abort'),
    ]).toEqual(['ok', 'ok', []]);
    // Reading the stream afterwards does not release the slot again.
    await collect(aborted.stream);
    expect(await aborted.next()).toBe('ok');
  });
});
