/**
 * Calls that end by a cancellation, a deadline or a lost session, over each transport in both
 * codecs.
 */
import { expect } from 'vitest';
import type { CallContext } from '../../../src/rpc/index.js';
import { LONG_TIMEOUT, pendingOf } from '../../fixtures/rpc.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, Inbox, until } from '../../fixtures/waiting.js';
import { collect, describeOverTransports, hasStreams, Kinds, numbers, pairOf } from './kinds.js';

describeOverTransports({
  async 'does not send a call whose signal has aborted before'(row, codec) {
    const made: string[] = [];
    await using p = await pairOf(row, codec, {
      handlers: {
        double: () => ({ value: made.push('double') }),
        count: () => numbers(made.push('count'), 0),
      },
    });
    const signal = AbortSignal.abort('no');
    expect(await rejection(p.stub.double({}, { signal }))).toMatchObject({
      code: 'CANCELLED',
      cause: 'no',
      unsent: true,
    });
    if (hasStreams(row))
      expect(await rejection(collect(p.stub.count({}, { signal })))).toMatchObject({
        code: 'CANCELLED',
        unsent: true,
      });
    await p.stub.settle({});
    expect(made).toEqual([]);
  },

  async 'aborts the handler’s signal when the caller cancels, and drops the reply'(row, codec) {
    const begun = new Inbox<CallContext>('a call');
    const aborted = new Inbox<string>('an aborted signal');
    const follow = (context: CallContext): void => {
      context.signal.addEventListener('abort', () => aborted.push(context.method.name));
      begun.push(context);
    };
    const untilAborted = (context: CallContext): Promise<never> => {
      follow(context);
      return new Promise((_, reject) =>
        context.signal.addEventListener('abort', () => reject(context.signal.reason)),
      );
    };
    let released = 0;
    await using p = await pairOf(row, codec, {
      handlers: {
        double: (_, context) => untilAborted(context),
        sum: (_, context) => untilAborted(context),
        async *count(_, context) {
          try {
            yield { value: 1 };
            await untilAborted(context);
          } finally {
            released++;
          }
        },
      },
    });
    // With compression the first call waits for the negotiation, which takes some of its timeout.
    await until(
      () => [...p.client.channels].every(({ extended }) => extended === true),
      'the server has answered',
    );
    for (const name of hasStreams(row) ? ['Double', 'Sum', 'Count'] : ['Double']) {
      const controller = new AbortController();
      const { signal } = controller;
      const call =
        name === 'Double'
          ? p.stub.double({}, { signal })
          : name === 'Sum'
            ? p.stub.sum(numbers(1, 3), { signal })
            : collect(p.stub.count({}, { signal }));
      const failed = rejection(call as Promise<unknown>);
      const { method, timeout } = await begun.next();
      expect([method.name, timeout]).toEqual([name, name === 'Double' ? 5_000 : undefined]);
      controller.abort('enough');
      expect(await failed).toMatchObject({ code: 'CANCELLED', cause: 'enough', unsent: false });
      expect(await aborted.next()).toBe(name);
    }
    if (hasStreams(row)) await until(() => released === 1, 'the generator has ended');
    expect(pendingOf(p.client)).toBe(0);
    await until(() => [...p.server.channels][0]?.serving === 0, 'the server handles no call');
  },

  async 'ends the stream at the server when the loop breaks'(row, codec) {
    const over = gate();
    await using p = await pairOf(row, codec, {
      handlers: {
        async *count() {
          try {
            for (let value = 1; ; value++) yield { value };
          } finally {
            over.open();
          }
        },
      },
    });
    let last = 0;
    for await (const { value } of p.stub.count({})) {
      last = value;
      if (value === 10) break;
    }
    expect(last).toBe(10);
    await over.promise;
    await until(() => [...p.server.channels][0]?.serving === 0, 'the server handles no call');
    expect(pendingOf(p.client)).toBe(0);
  },

  async 'fails the call and aborts the handler’s signal at the deadline'(row, codec) {
    const reasons = new Inbox<unknown>('an aborted signal');
    const never = (context: CallContext): Promise<never> =>
      new Promise((_, reject) => {
        context.signal.addEventListener('abort', () => {
          reasons.push(context.signal.reason);
          reject(context.signal.reason);
        });
      });
    await using p = await pairOf(row, codec, {
      handlers: {
        double: (_, context) => never(context),
        sum: (_, context) => never(context),
        count: (_, context) => never(context),
      },
    });
    // After this call the client knows the capabilities of its peer.
    await p.stub.settle({});
    const options = { timeout: 40 };
    const streaming = hasStreams(row)
      ? [() => p.stub.sum([], options), () => collect(p.stub.count({}, options))]
      : [];
    for (const call of [() => p.stub.double({}, options), ...streaming]) {
      expect(await rejection(call() as Promise<unknown>)).toMatchObject({
        code: 'DEADLINE_EXCEEDED',
      });
      expect(await reasons.next()).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    }
  },

  async 'fails every call at once when the session is lost'(row, codec) {
    const begun = new Inbox<CallContext>('a call');
    const wait = (context: CallContext): Promise<never> => {
      begun.push(context);
      return new Promise(() => {});
    };
    await using p = await pairOf(row, codec, {
      handlers: {
        double: (_, context) => wait(context),
        sum: (_, context) => wait(context),
        count: (_, context) => wait(context),
      },
    });
    const calls = [
      p.stub.double({}, { timeout: LONG_TIMEOUT }),
      p.stub.sum(numbers(1, 2)),
      collect(p.stub.count({})),
    ].map((call) => rejection(call as Promise<unknown>));
    const contexts = await begun.take(3);
    p.server.destroy();
    for (const call of calls)
      expect(await call).toMatchObject({ code: 'UNAVAILABLE', unsent: false });
    await until(() => contexts.every(({ signal }) => signal.aborted), 'every signal has aborted');
    expect(pendingOf(p.client)).toBe(0);
  },

  async 'passes deadline and cancellation to nested calls'(row, codec) {
    const inner = new Inbox<CallContext>('an inner call');
    await using p = await pairOf(row, codec, {
      handlers: {
        double: async (input, context) => ({
          value:
            (await context.channel.stub(Kinds, { codec }).double(input, { parent: context }))
              .value + 1,
        }),
      },
      clientHandlers: {
        async double({ value }, context) {
          inner.push(context);
          if (value > 0) return { value: value * 10 };
          return new Promise<never>((_, reject) =>
            context.signal.addEventListener('abort', () => reject(context.signal.reason)),
          );
        },
      },
    });
    expect((await p.stub.double({ value: 2 }, { timeout: 3_000 })).value).toBe(21);
    const { timeout = LONG_TIMEOUT } = await inner.next();
    expect(timeout).toBeLessThanOrEqual(3_000);
    const controller = new AbortController();
    const call = rejection(
      p.stub.double({ value: 0 }, { timeout: LONG_TIMEOUT, signal: controller.signal }),
    );
    const { signal } = await inner.next();
    controller.abort();
    expect(await call).toMatchObject({ code: 'CANCELLED' });
    await until(() => signal.aborted, 'the innermost signal has aborted');
  },
});
