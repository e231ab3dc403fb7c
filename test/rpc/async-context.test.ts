/** The async context in which handlers and callbacks run. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { afterAll, describe, expect, test } from 'vitest';
import { captureAsyncContext } from '../../src/core/node-async-context.js';
import { consume, provide } from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import {
  type CallContext,
  type Channel,
  concurrencyLimit,
  connect,
  contract,
  type Interceptor,
  implement,
  type RpcError,
  serve,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { gate, until, within } from '../fixtures/waiting.js';

const Who = contract('Who', {
  ami: unary<string | void, string>(),
  all: serverStream<string, string>(),
  join: unary<void, void>(),
});
const ADDRESS = 'tcp://127.0.0.1:0';
const storage = new AsyncLocalStorage<string>();
afterAll(() => storage.disable());
noLeaks();

const handlers = {
  ami: () => storage.getStore() ?? 'no store',
  async *all() {
    yield storage.getStore() ?? 'no store';
  },
  join: () => {},
};
/** Sets a store for calls that name a user, as a tracer does. */
const enterUserStore: Interceptor = (next) => (call) => {
  if (call.metadata.user !== undefined) storage.enterWith(call.metadata.user);
  return next(call);
};

describe('a store that is set during a call', () => {
  test('by an interceptor is not seen by other calls', async () => {
    await using server = await serve(ADDRESS, [implement(Who, handlers)], {
      interceptors: [enterUserStore],
    });
    await using client = await connect(server.address, { connections: 1 });
    const stub = client.stub(Who);
    await stub.ami();
    const answers = ['ann', undefined, 'bob', undefined].map((user) =>
      stub.ami(undefined, user === undefined ? {} : { metadata: { user } }),
    );
    expect(await Promise.all(answers)).toEqual(['ann', 'no store', 'bob', 'no store']);
    expect(await stub.ami()).toBe('no store');
    const streamed = async (user?: string): Promise<unknown> => {
      for await (const one of stub.all('x', user === undefined ? {} : { metadata: { user } }))
        return one;
      return undefined;
    };
    expect(await Promise.all([streamed('ann'), streamed(), streamed('bob'), streamed()])).toEqual([
      'ann',
      'no store',
      'bob',
      'no store',
    ]);
  });

  test('by a handler is not seen by other calls, whether it returns a value or a promise', async () => {
    for (const isAsync of [false, true]) {
      const ami = (user: string | void) => {
        const before = storage.getStore() ?? 'no store';
        if (user !== undefined) storage.enterWith(user);
        return isAsync ? Promise.resolve(before) : before;
      };
      await using server = await serve(ADDRESS, [implement(Who, { ...handlers, ami })]);
      await using client = await connect(server.address, { connections: 1 });
      const stub = client.stub(Who);
      await stub.ami();
      expect(await Promise.all([stub.ami('ann'), stub.ami('bob'), stub.ami()])).toEqual([
        'no store',
        'no store',
        'no store',
      ]);
    }
  });

  test('is seen by its handler until the end', async () => {
    const open = gate();
    const ami = async () => {
      await open.promise;
      return storage.getStore() ?? 'no store';
    };
    await using server = await serve(ADDRESS, [implement(Who, { ...handlers, ami })], {
      interceptors: [enterUserStore],
    });
    await using client = await connect(server.address, { connections: 1 });
    const asked = ['ann', 'bob'].map((user) =>
      client.stub(Who).ami(undefined, { metadata: { user } }),
    );
    open.open();
    expect(await Promise.all(asked)).toEqual(['ann', 'bob']);
  });
});

describe('the async context', () => {
  test('of a handler is that of serve()', async () => {
    await using server = await storage.run('the server', () =>
      serve(ADDRESS, [implement(Who, handlers)]),
    );
    await using client = await connect(server.address, { connections: 1 });
    expect(await storage.run('ann', () => client.stub(Who).ami())).toBe('the server');
  });

  test('of a connection is not that of the call that needed it', async () => {
    let channel: Channel | undefined;
    const join = (_: void, context: CallContext) => {
      channel = context.channel;
    };
    await using registry = memory();
    await using _provider = await provide({
      registry,
      address: ADDRESS,
      services: [implement(Who, { ...handlers, join })],
    });
    const states: unknown[] = [];
    const Back = contract('Back', { ami: unary<void, string>() });
    await using consumer = consume({
      registry,
      services: [implement(Back, { ami: () => storage.getStore() ?? 'no store' })],
      onState: () => states.push(storage.getStore()),
    });
    await storage.run('ann', () => consumer.stub(Who).join());
    expect(await channel?.stub(Back).ami()).toBe('no store');
    expect(states).toContain(undefined);
    expect(states).not.toContain('ann');
  });

  test('of the callbacks of a call is that of its caller', async () => {
    const ami = (_: string | void, context: CallContext) => {
      context.replyMetadata.from = 'here';
      return 'it';
    };
    await using server = await serve(ADDRESS, [implement(Who, { ...handlers, ami })]);
    await using client = await storage.run('the client', () =>
      connect(server.address, { connections: 1 }),
    );
    const stub = client.stub(Who);
    const stores: unknown[] = [];
    await storage.run('ann', () =>
      stub.ami(undefined, { onMetadata: () => stores.push(`metadata for ${storage.getStore()}`) }),
    );
    const called = gate();
    storage.run('bob', () =>
      stub.ami(undefined, () => {
        stores.push(`answer for ${storage.getStore()}`);
        called.open();
      }),
    );
    await within(called.promise, 'the callback');
    expect(stores).toEqual(['metadata for ann', 'answer for bob']);
  });
});

describe('captureAsyncContext()', () => {
  test('runs functions in the captured context, and drops the stores that they set', () => {
    const read = (): unknown => storage.getStore();
    const set = (user: string): void => storage.enterWith(user);
    for (const base of [undefined, 'the base']) {
      const context =
        base === undefined
          ? storage.exit(captureAsyncContext)
          : storage.run(base, captureAsyncContext);
      for (let round = 0; round < 3; round++) {
        storage.run('the caller', () => {
          expect(context.run(read, undefined, undefined)).toBe(base);
          context.run(set, undefined, 'ann');
          expect(context.run(read, undefined, undefined)).toBe(base);
          expect(storage.getStore()).toBe('the caller');
        });
      }
    }
  });

  test('drops the stores of storages that are created later', () => {
    const context = captureAsyncContext();
    const later = new AsyncLocalStorage<string>();
    context.run(() => later.enterWith('ann'), undefined, undefined);
    expect(context.run(() => later.getStore(), undefined, undefined)).toBeUndefined();
    later.disable();
  });
});

describe('inheritContext', () => {
  const Inner = contract('Inner', { wait: unary<void, string>() });

  /**
   * A server whose handler calls a second server by `call`. The second server answers when its call
   * is aborted.
   */
  async function nestedCalls(
    options: { inheritContext?: boolean; interceptors?: Interceptor[] },
    call: (inner: Awaited<ReturnType<typeof connect>>) => unknown,
  ) {
    const seen: { left: number | undefined; reason: Promise<unknown> }[] = [];
    const behind = await serve(ADDRESS, [
      implement(Inner, {
        wait: (_, { deadline, signal }) => {
          const reason = gate<unknown>();
          signal.addEventListener('abort', () => reason.open(signal.reason));
          seen.push({
            left: deadline === undefined ? undefined : deadline - performance.now(),
            reason: reason.promise,
          });
          return reason.promise.then(() => 'aborted');
        },
      }),
    ]);
    const inner = await connect(behind.address);
    const server = await serve(
      ADDRESS,
      [implement(Who, { ...handlers, join: async () => void (await call(inner)) })],
      options,
    );
    const client = await connect(server.address);
    return {
      stub: client.stub(Who),
      seen,
      async [Symbol.asyncDispose]() {
        client.destroy();
        server.destroy();
        inner.destroy();
        behind.destroy();
        await Promise.all([client.close(), server.close(), inner.close(), behind.close()]);
      },
    };
  }

  test('passes the deadline and the cancellation of a call to the calls of its handler', async () => {
    for (const interceptors of [
      [],
      [
        (next: Parameters<Interceptor>[0]) => async (call: Parameters<typeof next>[0]) =>
          next(call),
      ],
    ]) {
      await using rig = await nestedCalls({ inheritContext: true, interceptors }, (inner) =>
        inner.stub(Inner).wait(),
      );
      const abort = new AbortController();
      const failed = rig.stub
        .join(undefined, { timeout: 3_000, signal: abort.signal })
        .catch((error: RpcError) => error.code);
      await until(() => rig.seen.length === 1, 'the inner call');
      expect(rig.seen[0]?.left).toBeLessThanOrEqual(3_000);
      abort.abort();
      expect(await failed).toBe('CANCELLED');
      expect(
        await within(rig.seen[0]?.reason as Promise<unknown>, 'the inner call to be cancelled'),
      ).toMatchObject({ code: 'CANCELLED' });
    }
  });

  test('passes those of the call itself after it has waited in concurrencyLimit()', async () => {
    const interceptors = [concurrencyLimit({ limit: 1, queueTimeout: 60_000 })];
    await using rig = await nestedCalls({ inheritContext: true, interceptors }, (inner) =>
      inner.stub(Inner).wait(undefined, { timeout: 60_000 }),
    );
    const abort = new AbortController();
    const first = rig.stub.join(undefined, { timeout: 3_000, signal: abort.signal });
    await until(() => rig.seen.length === 1, 'the inner call of the first call');
    rig.stub.join(undefined, { timeout: 50_000 }).catch(() => {});
    abort.abort();
    await expect(first).rejects.toMatchObject({ code: 'CANCELLED' });
    await until(() => rig.seen.length === 2, 'the inner call of the second call');
    expect(rig.seen[1]?.left).toBeGreaterThan(3_000);
  });

  test('is off by default, and off for a call with parent: null', async () => {
    for (const [options, parent] of [
      [{}, undefined],
      [{ inheritContext: true }, null],
    ] as const) {
      await using rig = await nestedCalls(options, (inner) =>
        inner.stub(Inner).wait(undefined, { parent, timeout: 60_000 }),
      );
      rig.stub.join(undefined, { timeout: 3_000 }).catch(() => {});
      await until(() => rig.seen.length === 1, 'the inner call');
      expect(rig.seen[0]?.left).toBeGreaterThan(3_000);
    }
  });
});
