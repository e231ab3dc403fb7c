import { AssertionError } from 'node:assert';
import { mock } from 'node:test';
import { afterEach, expect, test } from 'vitest';
import { startTimer } from '../../src/core/timers.js';
import { consume } from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import {
  connect as connectRpc,
  contract,
  implement,
  type StubOf,
  serve as serveRpc,
  serverStream,
  unary,
} from '../../src/rpc/index.js';
import { assertNoLeaks, type Leak, leaks, mockStub } from '../../src/testing/index.js';
import { connect, lines, serve } from '../../src/transport/index.js';
import { gate, until } from '../fixtures/waiting.js';

afterEach(() => assertNoLeaks());

const setup = { codec: lines(), listener: { onMessage() {} } };
const Waiter = contract('Waiter', {
  wait: unary<string, string>({ timeout: 300_000 }),
  waitForItems: serverStream<string, string>(),
});

const kindsOf = (found: readonly Leak[]): string[] => found.map(({ kind }) => kind).sort();
const find = (kind: Leak['kind']): Leak | undefined => leaks().find((leak) => leak.kind === kind);

/** The error of assertNoLeaks(). */
async function failure(options?: Parameters<typeof assertNoLeaks>[0]): Promise<Error> {
  try {
    await assertNoLeaks({ timeout: 0, ...options });
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was found');
}

test('finds nothing when everything is closed', async () => {
  await using server = await serve('memory://', setup);
  await using _client = await connect(server.address, setup);
});

test('finds a server, a client and their sessions, with the code that made them', async () => {
  async function makeServer(): Promise<Awaited<ReturnType<typeof serve<string>>>> {
    return serve('memory://leaky', setup);
  }
  const server = await makeServer();
  const client = await connect(server.address, setup);
  await client.session();
  // The timer limits the time of an incomplete message, in both sessions.
  expect(kindsOf(leaks())).toEqual(['client', 'server', 'session', 'session', 'timer']);
  expect(find('server')?.description).toBe('server at memory://leaky');
  expect(find('server')?.stack).toMatch(/^\s+at makeServer .*leaks\.test\.ts/);
  expect(find('client')).toMatchObject({
    description: 'client of memory://leaky',
    stack: expect.stringContaining('leaks.test.ts'),
  });
  expect(find('session')).toMatchObject({
    description: expect.stringMatching(/^session \d+ of a (server|client), from memory:/),
    stack: expect.stringContaining('leaks.test.ts'),
  });
  const error = await failure();
  expect(error).toBeInstanceOf(AssertionError);
  // Test runners print the difference of these.
  expect(error).toMatchObject({ actual: undefined, expected: undefined });
  expect(error.message).toMatch(/^5 resources of getty-ts are left:\n/);
  expect(error.message).toMatch(/server at memory:\/\/leaky\n\s+at makeServer /);
  await client.close();
  expect(kindsOf(leaks())).toContain('server');
  await server.close();
  expect(leaks()).toEqual([]);
});

test('finds a consumer', async () => {
  await using registry = memory();
  const consumer = consume({ registry });
  consumer.stub(Waiter);
  expect(find('consumer')?.stack).toContain('leaks.test.ts');
  await consumer.close();
});

test('finds calls, streams and handlers that have not ended', async () => {
  const { promise, open } = gate<string>();
  await using server = await serveRpc('memory://', [
    implement(Waiter, {
      wait: () => promise,
      async *waitForItems() {
        yield await promise;
      },
    }),
  ]);
  await using client = await connectRpc(server.address, { connections: 1 });
  const stub = client.stub(Waiter);
  const call = stub.wait('a');
  const items = stub.waitForItems('b')[Symbol.asyncIterator]();
  const item = items.next();
  await until(() => leaks().filter(({ kind }) => kind === 'handler').length === 2, '2 handlers');
  expect(find('call')).toMatchObject({
    description: `call Waiter.wait to ${server.address}`,
    stack: expect.stringContaining('leaks.test.ts'),
  });
  expect(find('stream')?.description).toBe(`stream Waiter.waitForItems to ${server.address}`);
  expect(find('handler')?.description).toMatch(/^handler Waiter\.wait/);
  open('done');
  expect([await call, (await item).value]).toEqual(['done', 'done']);
  await items.return?.();
  await until(
    () => !leaks().some(({ kind }) => ['call', 'stream', 'handler'].includes(kind)),
    'the end of the calls',
  );
});

test('finds handlers that still run after the end of their session', async () => {
  const { promise, open } = gate<string>();
  const services = [
    implement(Waiter, {
      wait: () => promise,
      async *waitForItems() {
        yield 'first';
        yield await promise;
      },
    }),
  ];
  const server = await serveRpc('memory://ignorant', services, { drainTimeout: 1 });
  const client = await connectRpc(server.address, { connections: 1, drainTimeout: 1 });
  const stub = client.stub(Waiter);
  await expect(stub.wait('a', { timeout: 1 })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  for await (const _ of stub.waitForItems('b')) break;
  await client.close();
  await until(() => !leaks().some(({ kind }) => kind === 'session'), 'the end of the sessions');
  expect(kindsOf(leaks())).toEqual(['handler', 'handler', 'server']);
  await server.close();
  const found = leaks();
  expect(kindsOf(found)).toEqual(['handler', 'handler']);
  for (const { description, stack } of found) {
    expect(description).toMatch(
      /^handler Waiter\.wait(ForItems)? for memory:\S+ still runs after the end of its session$/,
    );
    expect(stack).toContain('leaks.test.ts');
  }
  expect((await failure()).message).toMatch(/^2 resources of getty-ts are left:\nhandler Waiter/);
  // What was reported hides no timer: it holds none.
  const timer = startTimer(() => {}, 300_000);
  expect((await failure()).message).toMatch(/^1 resource of getty-ts is left:\ntimer/);
  clearTimeout(timer);
  await assertNoLeaks();
  open('done');
  await until(() => leaks().length === 0, 'the end of the handlers');
});

test('forgets the handlers that end after their sessions', async () => {
  const { promise, open } = gate<string>();
  let begun = 0;
  const wait = (): Promise<string> => {
    begun++;
    return promise;
  };
  const services = [implement(Waiter, { wait, async *waitForItems() {} })];
  await using server = await serveRpc('memory://', services);
  for (let i = 0; i < 150; i++) {
    const client = await connectRpc(server.address, { connections: 1, drainTimeout: 0 });
    const outcome = expect(client.stub(Waiter).wait('a')).rejects.toThrow();
    await until(() => begun > i, 'the handler');
    client.destroy();
    await outcome;
  }
  open('done');
  await until(() => !leaks().some(({ kind }) => kind === 'handler'), 'the end of the handlers');
});

test('finds the calls and streams of a mock stub that have not ended', async () => {
  const { promise, open } = gate<string>();
  const { stub } = mockStub(Waiter, {
    wait: () => promise,
    async *waitForItems() {
      yield 'first';
      yield 'second';
    },
  });
  const startCall = (): Promise<string> => stub.wait('a');
  const call = startCall();
  const items = stub.waitForItems('b')[Symbol.asyncIterator]();
  expect(kindsOf(leaks())).toEqual(['call', 'timer']);
  await items.next();
  expect(kindsOf(leaks())).toEqual(['call', 'stream', 'timer']);
  expect(find('call')).toMatchObject({
    description: 'call Waiter.wait to mockStub()',
    stack: expect.stringMatching(/^\s+at startCall .*leaks\.test\.ts/),
  });
  expect(find('stream')).toMatchObject({
    description: 'stream Waiter.waitForItems to mockStub()',
    stack: expect.stringContaining('leaks.test.ts'),
  });
  expect((await failure()).message).toContain('stream Waiter.waitForItems to mockStub()\n    at ');
  open('done');
  await call;
  await items.return?.();
  expect(leaks()).toEqual([]);
});

test.each<[string, (stub: StubOf<typeof Waiter>) => Promise<unknown>]>([
  [
    'was read to its end',
    async (stub) => {
      for await (const _ of stub.waitForItems(''));
    },
  ],
  [
    'was left early',
    async (stub) => {
      for await (const _ of stub.waitForItems('')) break;
    },
  ],
  [
    'has failed',
    async (stub) => {
      await expect(stub.waitForItems('wrong')[Symbol.asyncIterator]().next()).rejects.toThrow();
    },
  ],
  [
    'has reached its deadline',
    async (stub) => {
      await stub
        .waitForItems('', { timeout: 1 })
        [Symbol.asyncIterator]()
        .next()
        .catch(() => {});
      await until(() => leaks().length === 0, 'the deadline');
    },
  ],
  [
    'was cancelled',
    async (stub) => {
      const cancel = new AbortController();
      await stub.waitForItems('', { signal: cancel.signal })[Symbol.asyncIterator]().next();
      expect(kindsOf(leaks())).toEqual(['stream']);
      cancel.abort();
    },
  ],
])('finds no stream of a mock stub that %s', async (_, use) => {
  const { stub } = mockStub(Waiter, {
    async *waitForItems(input) {
      if (input === 'wrong') throw new Error('wrong');
      yield 'first';
      yield 'second';
    },
  });
  await use(stub);
  // On a slow machine the end of a stream waits for the next turn of the event loop.
  await until(() => leaks().length === 0, 'no stream is left');
});

test('finds a timer of the package, also one that does not keep the process running', () => {
  const timer = startTimer(() => {}, 300_000).unref();
  expect(find('timer')?.stack).toContain('leaks.test.ts');
  clearTimeout(timer);
  expect(leaks()).toEqual([]);
});

test('removes timers that have ended, however many there were', () => {
  const timers = Array.from({ length: 3_000 }, () => startTimer(() => {}, 300_000));
  expect(leaks()).toHaveLength(3_000);
  for (const timer of timers) clearTimeout(timer);
  expect(leaks()).toEqual([]);
});

test('does not report what failed to start', async () => {
  await using server = await serve('memory://', setup);
  const before = leaks();
  await expect(serve(server.address, setup)).rejects.toMatchObject({ code: 'LISTEN_FAILED' });
  await expect(connect('memory://nowhere', setup)).rejects.toMatchObject({
    code: 'CONNECT_FAILED',
  });
  await expect(connectRpc('memory://nowhere')).rejects.toMatchObject({ code: 'CONNECT_FAILED' });
  await assertNoLeaks({ ignore: before });
});

test('waits for what is being closed', async () => {
  const server = await serve('tcp://127.0.0.1:0', setup);
  const client = await connect(server.address, setup);
  client.destroy();
  server.destroy();
  await assertNoLeaks();
});

test('ignores what was there before', async () => {
  await using server = await serve('memory://', setup);
  const before = leaks();
  const client = await connect(server.address, setup);
  expect((await failure({ ignore: before })).message).toContain('client of');
  await client.close();
  await assertNoLeaks({ ignore: before });
});

test('works while the timers of a test do not run', async () => {
  mock.timers.enable({ apis: ['setTimeout', 'setImmediate', 'setInterval', 'Date'] });
  try {
    const timer = startTimer(() => {}, 300_000);
    await assertNoLeaks();
    clearTimeout(timer);
  } finally {
    mock.timers.reset();
  }
});

test('refuses invalid options', async () => {
  await expect(assertNoLeaks({ ignore: 1 as never })).rejects.toMatchObject({ code: 'BAD_OPTION' });
  await expect(assertNoLeaks({ timeout: -1 })).rejects.toMatchObject({ code: 'BAD_OPTION' });
});
