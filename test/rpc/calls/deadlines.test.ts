/** The deadline of a call: it counts from the beginning of the call, not from its sending. */
import { describe, expect, test } from 'vitest';
import { consume, failover } from '../../../src/micro/index.js';
import { memory } from '../../../src/registries/memory.js';
import {
  type CallContext,
  type CallLine,
  connect,
  contract,
  type Interceptor,
  implement,
  logging,
  RpcError,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { rejection } from '../../fixtures/transports.js';
import { elapse, gate, Inbox, until } from '../../fixtures/waiting.js';
import { delayedRegistry } from '../../micro/delayed-registry.js';

const Bank = contract('Bank', {
  pay: unary<void, number | undefined>(),
  wait: unary<void, void>(),
});
const ADDRESS = 'tcp://127.0.0.1:0';
/** Milliseconds of a day. */
const DAY = 24 * 3_600_000;
noLeaks();

test('the signal of a handler that is first read after the deadline has aborted', async () => {
  const read = gate<AbortSignal>();
  const wait = async (_: void, context: CallContext) => {
    while (performance.now() <= (context.deadline ?? 0)) await elapse(5);
    read.open(context.signal);
  };
  await using server = await serve(ADDRESS, [implement(Bank, { pay: () => 1, wait })]);
  await using client = await connect(server.address);
  expect(await rejection(client.stub(Bank).wait(undefined, { timeout: 20 }))).toMatchObject({
    code: 'DEADLINE_EXCEEDED',
  });
  const signal = await read.promise;
  expect(signal.aborted).toBe(true);
  expect(signal.reason).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
});

test('a call whose deadline has passed is counted and logged so, whether its handler has read the signal or not', async () => {
  const codes: string[] = [];
  const log = (line: object) => codes.push((line as CallLine).code);
  for (const interceptors of [[], [logging({ logger: { info: log, warn: log } })]]) {
    for (const readsSignal of [false, true]) {
      for (const end of ['reply', 'error'] as const) {
        const wait = async (_: void, context: CallContext) => {
          if (readsSignal) void context.signal;
          while (performance.now() <= (context.deadline ?? 0)) await elapse(5);
          if (end === 'error') throw new RpcError('NOT_FOUND', 'no');
        };
        await using server = await serve(ADDRESS, [implement(Bank, { pay: () => 1, wait })], {
          interceptors,
        });
        await using client = await connect(server.address);
        expect(await rejection(client.stub(Bank).wait(undefined, { timeout: 20 }))).toMatchObject({
          code: 'DEADLINE_EXCEEDED',
        });
        await until(() => server.statistics().served[0]?.inFlight === 0, 'the handler has ended');
        expect(server.statistics().served[0]).toMatchObject({
          succeeded: 0,
          failed: { DEADLINE_EXCEEDED: 1 },
        });
      }
    }
  }
  expect(codes).toEqual(Array(4).fill('DEADLINE_EXCEEDED'));
});

test('a cancelled call is logged as CANCELLED, whatever its handler answers', async () => {
  const lines = new Inbox<object>('a line');
  const log = (line: object) => lines.push(line);
  const began = gate();
  const open = gate();
  const wait = () => {
    began.open();
    return open.promise;
  };
  await using server = await serve(ADDRESS, [implement(Bank, { pay: () => 1, wait })], {
    interceptors: [logging({ logger: { info: log, warn: log } })],
  });
  await using client = await connect(server.address, { connections: 1 });
  // A cancel is sent only if the server has shown that it knows cancels.
  await client.stub(Bank).pay();
  const abort = new AbortController();
  const failed = rejection(client.stub(Bank).wait(undefined, { signal: abort.signal }));
  await began.promise;
  abort.abort();
  expect(await failed).toMatchObject({ code: 'CANCELLED' });
  // The cancel is sent before this call.
  await client.stub(Bank).pay();
  open.open();
  expect([await lines.next(), await lines.next(), await lines.next()]).toMatchObject([
    { method: 'pay', code: 'OK' },
    { method: 'pay', code: 'OK' },
    { method: 'wait', code: 'CANCELLED' },
  ]);
});

describe('the timeout of a call', () => {
  const pay = (_: void, { deadline }: CallContext): number | undefined =>
    deadline === undefined ? undefined : deadline - performance.now();

  test('includes the time that interceptors take before they send it', async () => {
    const slow: Interceptor = (next) => async (call) => {
      await elapse(100);
      return next(call);
    };
    await using server = await serve(ADDRESS, [implement(Bank, { pay, wait: () => {} })]);
    for (const interceptor of [
      slow,
      ((next) => slow((call) => next(call.with({ metadata: { token: 'x' } })))) as Interceptor,
    ]) {
      await using client = await connect(server.address, { interceptors: [interceptor] });
      expect(await client.stub(Bank).pay(undefined, { timeout: 60_000 })).toBeLessThanOrEqual(
        59_901,
      );
      expect(await rejection(client.stub(Bank).pay(undefined, { timeout: 50 }))).toMatchObject({
        code: 'DEADLINE_EXCEEDED',
        unsent: true,
      });
    }
  });

  test('starts again when an interceptor sets a timeout', async () => {
    const extendTimeout: Interceptor = (next) => async (call) => {
      await elapse(30);
      return next(call.with({ timeout: 60_000 }));
    };
    await using server = await serve(ADDRESS, [implement(Bank, { pay, wait: () => {} })]);
    await using client = await connect(server.address, { interceptors: [extendTimeout] });
    expect(await client.stub(Bank).pay(undefined, { timeout: 20 })).toBeGreaterThan(50_000);
  });

  test('is named without a number, which may be only what was left of it', async () => {
    const release = gate();
    const delay: Interceptor = (next) => async (call) => {
      await elapse(5);
      return next(call);
    };
    await using server = await serve(ADDRESS, [
      implement(Bank, { pay, wait: () => release.promise }),
    ]);
    await using client = await connect(server.address, { interceptors: [delay] });
    const error = await rejection(client.stub(Bank).wait(undefined, { timeout: 1_000 }));
    expect(error.message).toBe('Bank.wait was not answered within its timeout');
    release.open();
  });

  test('ends earlier where an interceptor of the server gives it a timeout', async () => {
    const seen: { deadline: number | undefined; signal: AbortSignal }[] = [];
    const wait = async (_: void, { deadline, signal }: CallContext) => {
      seen.push({ deadline, signal });
      // It ignores its deadline.
      await release.promise;
    };
    const release = gate();
    let timeout = 30;
    // The second timeout ends later, so it has no effect.
    const change: Interceptor = (next) => (call) =>
      next(call.with({ timeout }).with({ timeout: timeout * 2 }));
    await using server = await serve(ADDRESS, [implement(Bank, { pay, wait })], {
      interceptors: [change],
    });
    await using client = await connect(server.address);
    const stub = client.stub(Bank);
    const before = performance.now();
    expect(await rejection(stub.wait(undefined, { timeout: 60_000 }))).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: 'Bank.wait was not done within 30 ms',
    });
    expect(performance.now() - before).toBeGreaterThanOrEqual(29);
    expect(seen[0]?.deadline).toBeLessThan(before + 50_000);
    expect(seen[0]?.signal.reason).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    release.open();
    // The deadline of the caller is nearer.
    for (timeout of [90_000, Number.POSITIVE_INFINITY])
      expect(await stub.pay(undefined, { timeout: 60_000 })).toBeLessThanOrEqual(60_000);
  });

  test('includes the wait for the first list of the registry', async () => {
    const inner = memory();
    const listed = gate();
    await using server = await serve(ADDRESS, [implement(Bank, { pay, wait: () => {} })]);
    await inner.register({
      id: 'a',
      service: 'Bank',
      group: '',
      version: '',
      protocol: 'json',
      address: server.address,
      metadata: {},
    });
    await using consumer = consume({ registry: delayedRegistry(inner, listed.promise) });
    const timeLeft = consumer.stub(Bank).pay(undefined, { timeout: 60_000 });
    await elapse(150);
    listed.open();
    expect(await timeLeft).toBeLessThanOrEqual(59_851);
    await inner[Symbol.asyncDispose]();
  });

  test('leaves no retry with less than a millisecond: DEADLINE_EXCEEDED, with the failure as its cause', async () => {
    const first = new RpcError('UNAVAILABLE', 'away', { unsent: true });
    const { ClientCall, plainShape } = await import('../../../src/rpc/calls/client-call.js');
    const method = Bank.methods.get('pay');
    if (method === undefined) throw new Error('no method');
    let attempts = 0;
    const strategy = failover()(async (call, tried) => {
      attempts++;
      tried.add({} as never);
      while (performance.now() < (call.deadline ?? 0) - 0.5);
      throw first;
    });
    const error = await rejection(
      strategy(new ClientCall(plainShape(method, 'json', 20), undefined)),
    );
    expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', cause: first });
    expect(attempts).toBe(1);
  });
});

describe('a timeout of 30 days', () => {
  test('arrives at the handler unchanged', async () => {
    await using server = await serve(ADDRESS, [
      implement(Bank, {
        pay: (_, { timeout, signal }) => (signal.aborted ? 0 : timeout),
        wait: () => {},
      }),
    ]);
    await using client = await connect(server.address, { timeout: 30 * DAY });
    expect(await client.stub(Bank).pay()).toBe(30 * DAY);
  });
});
