/** Calls that wait for the first list of the registry. */
import { describe, expect, it } from 'vitest';
import { consume, provide } from '../../../src/micro/index.js';
import { memory } from '../../../src/registries/memory.js';
import { type CallContext, implement } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { gate, Inbox, until } from '../../fixtures/waiting.js';
import { delayedRegistry } from '../delayed-registry.js';
import { ADDRESS, Work } from './work-nodes.js';

noLeaks();

describe('the first list of a consumer', () => {
  it('is waited for within the timeout of the call; the call has the remaining time', async () => {
    await using inner = memory();
    const timeouts = new Inbox<number>('the time that a handler has');
    const getId = (_: void, context: CallContext): string => {
      timeouts.push((context.deadline as number) - performance.now());
      return 'a';
    };
    const ticks = async function* (): AsyncGenerator<number> {};
    await using _a = await provide({
      registry: inner,
      id: 'a',
      address: ADDRESS,
      services: [implement(Work, { getId, wait: () => '', ticks })],
    });
    const listed = gate();
    await using consumer = consume({ registry: delayedRegistry(inner, listed.promise) });
    const start = performance.now();
    const answer = consumer.stub(Work).getId(undefined, { timeout: 60_000 });
    await until(() => performance.now() - start > 50, 'some of the timeout has passed');
    listed.open();
    expect(await answer).toBe('a');
    expect(await timeouts.next()).toBeLessThanOrEqual(60_000 - 50);
  });

  it('makes a call fail at its deadline when it does not arrive in time; a cancellation ends the wait', async () => {
    await using inner = memory();
    await using consumer = consume({ registry: delayedRegistry(inner, new Promise(() => {})) });
    const stub = consumer.stub(Work);
    await expect(stub.getId(undefined, { timeout: 20 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      unsent: true,
      // The wait has what is left of the timeout.
      message: expect.stringMatching(/the registry gave no list of Work within \d+ ms/),
      cause: { code: 'REGISTRY_FAILED' },
    });
    const abort = new AbortController();
    const waiting = stub.getId(undefined, { timeout: 60_000, signal: abort.signal });
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED', unsent: true });
  });
});
