/** The ready interceptors, except auth() and bearer(), with calls on clients and on servers. */
import { describe, expect, test } from 'vitest';
import {
  circuitBreaker,
  concurrencyLimit,
  contract,
  type Interceptor,
  implement,
  logging,
  type RpcError,
  rateLimit,
  retry,
  timeout,
  unary,
} from '../../../src/rpc/index.js';
import { collect } from '../../fixtures/calls.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { channelOf, outcome, pendingOf, rig } from '../../fixtures/rpc.js';
import { rejection } from '../../fixtures/transports.js';
import { gate, Inbox, until } from '../../fixtures/waiting.js';
import { ENDPOINTS, TestPair } from './test-pair.js';

noLeaks();

const logger = { info() {}, warn() {} };
/** These interceptors with options that let each call pass. */
const ALL: readonly [string, () => Interceptor][] = [
  ['timeout', () => timeout(60_000)],
  ['retry', () => retry({ initialDelay: 1 })],
  ['circuitBreaker', () => circuitBreaker()],
  ['concurrencyLimit', () => concurrencyLimit()],
  ['rateLimit', () => rateLimit()],
  ['logging', () => logging({ logger })],
];

describe.each(ENDPOINTS)('on a %s', (side) => {
  test.each(ALL)('%s passes calls, replies and errors unchanged', async (_, make) => {
    await using trial = await TestPair.open(side, make());
    const { stub } = trial;
    for (const value of [{ a: [1, 'é'] }, null, 0, 'text'])
      expect(await stub.echo(value)).toEqual(value);
    expect(await stub.echo(undefined)).toBeUndefined();
    const error = await rejection<RpcError>(stub.fail('because'));
    expect(error).toMatchObject({ code: 'UNAVAILABLE', message: 'because', unsent: false });
    expect(error.metadata.is).toBe('kept');
    expect(await stub.tell('one way')).toBeUndefined();
    expect([
      await collect(stub.count(3)),
      await stub.sum([1, 2]),
      await collect(stub.each([1, 2])),
    ]).toEqual([[0, 1, 2], 3, [2, 4]]);
    await until(() => trial.received.all.includes('one way'), 'the oneway call has been received');
    expect(pendingOf(trial.pair.client, trial.pair.server)).toBe(0);
  });

  test('timeout ends a slow call and aborts the handler’s signal', async () => {
    await using trial = await TestPair.open(side, timeout(30));
    const call = rejection<RpcError>(trial.stub.wait(undefined, { timeout: 60_000 }));
    const signal = await trial.waiting.next();
    expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await until(() => signal.aborted, 'the signal has aborted');
    expect(signal.reason).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  test('retry calls an idempotent method again', async () => {
    const errors: string[] = [];
    await using trial = await TestPair.open(
      side,
      retry({ attempts: 4, initialDelay: 1, onRetry: ({ code }) => errors.push(code) }),
    );
    expect(await outcome(trial.stub.fail('again'))).toBe('UNAVAILABLE');
    expect([trial.received.all, errors]).toEqual([
      ['again', 'again', 'again', 'again'],
      ['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE'],
    ]);
  });

  test('circuitBreaker refuses calls after failures', async () => {
    await using trial = await TestPair.open(side, circuitBreaker({ failures: 2 }));
    for (const text of ['one', 'two'])
      expect(await rejection(trial.stub.fail(text))).toMatchObject({ message: text });
    const error = await rejection<RpcError>(trial.stub.fail('three'));
    expect([
      error.code,
      error.message.startsWith('the circuit of Trial is open'),
      trial.received.all,
    ]).toEqual(['UNAVAILABLE', true, ['one', 'two']]);
  });

  test('concurrencyLimit queues calls and refuses more', async () => {
    await using trial = await TestPair.open(
      side,
      concurrencyLimit({ limit: 1, queue: 1, queueTimeout: 60_000 }),
    );
    const first = trial.stub.wait();
    await trial.waiting.next();
    const second = trial.stub.echo('second');
    expect(await outcome(trial.stub.echo('third'))).toBe('RESOURCE_EXHAUSTED');
    trial.gate.open('done');
    expect([await first, await second]).toEqual(['done', 'second']);
  });

  test('a stream keeps its slot and is logged when it ends', async () => {
    const lines = new Inbox<object>('a line');
    const log = logging({
      logger: { info: (details) => lines.push(details), warn: (details) => lines.push(details) },
    });
    await using trial = await TestPair.open(side, log, concurrencyLimit({ limit: 1, queue: 0 }));
    const open = gate();
    async function* inputs(): AsyncGenerator<number> {
      yield 1;
      await open.promise;
      yield 2;
    }
    const replies = trial.stub.each(inputs())[Symbol.asyncIterator]();
    expect(await replies.next()).toEqual({ done: false, value: 2 });
    expect(await outcome(trial.stub.echo(1))).toBe('RESOURCE_EXHAUSTED');
    expect(await lines.next()).toMatchObject({ method: 'echo', code: 'RESOURCE_EXHAUSTED' });
    open.open();
    expect([await replies.next(), (await replies.next()).done]).toEqual([
      { done: false, value: 4 },
      true,
    ]);
    expect(await lines.next()).toMatchObject({ method: 'each', code: 'OK' });
    // A stream also ends when its reader closes it.
    for await (const _ of trial.stub.count(5)) break;
    expect(await lines.next()).toMatchObject({ method: 'count' });
    expect(await trial.stub.echo(2)).toBe(2);
  });

  test('timeout ends a slow stream', async () => {
    // The first reply must arrive within the limit, also on a busy machine.
    await using trial = await TestPair.open(side, timeout(500));
    const never = gate();
    const inputs = (async function* () {
      yield 1;
      await never.promise;
    })();
    const replies = trial.stub.each(inputs)[Symbol.asyncIterator]();
    expect(await replies.next()).toEqual({ done: false, value: 2 });
    expect(await outcome(replies.next())).toBe('DEADLINE_EXCEEDED');
    never.open();
    expect(await trial.stub.echo('a later call')).toBe('a later call');
  });

  test('rateLimit refuses calls above the rate', async () => {
    await using trial = await TestPair.open(side, rateLimit({ perSecond: 2, now: () => 0 }));
    expect(await Promise.all([1, 2, 3].map((n) => outcome(trial.stub.echo(n))))).toEqual([
      'ok',
      'ok',
      'RESOURCE_EXHAUSTED',
    ]);
  });

  test('logging writes a line for each call', async () => {
    const lines = new Inbox<object>('a line');
    await using trial = await TestPair.open(
      side,
      logging({
        logger: { info: (details) => lines.push(details), warn: (details) => lines.push(details) },
        slow: Number.POSITIVE_INFINITY,
      }),
    );
    await trial.stub.echo('secret');
    await outcome(trial.stub.fail('secret'));
    const peer = side === 'server' ? (await channelOf(trial.pair.server)).peer : undefined;
    expect(await lines.take(2)).toEqual([
      { service: 'Trial', method: 'echo', peer, code: 'OK', ms: expect.any(Number) },
      { service: 'Trial', method: 'fail', peer, code: 'UNAVAILABLE', ms: expect.any(Number) },
    ]);
  });

  test('interceptors run in the order of the list', async () => {
    const codes = new Inbox<string>('a line');
    const log = (name: string): Interceptor =>
      logging({
        logger: {
          info: () => codes.push(`${name} OK`),
          warn: (details) => codes.push(`${name} ${(details as { code: string }).code}`),
        },
      });
    await using trial = await TestPair.open(
      side,
      log('outer'),
      rateLimit({ perSecond: 1, now: () => 0 }),
      log('inner'),
    );
    await trial.stub.echo(1);
    await outcome(trial.stub.echo(2));
    expect(await codes.take(3)).toEqual(['inner OK', 'outer OK', 'outer RESOURCE_EXHAUSTED']);
  });

  test('interceptors are composed for an endpoint and for each session, not for each call', async () => {
    let composed = 0;
    const counting: Interceptor = (next) => {
      composed++;
      return next;
    };
    await using trial = await TestPair.open(side, counting);
    await trial.stub.echo(0);
    const before = composed;
    expect(before).toBeGreaterThan(0);
    for (let n = 0; n < 20; n++) await trial.stub.echo(n);
    expect(composed).toBe(before);
  });
});

test('a handler can call its caller back while it holds the only slot', async () => {
  const Back = contract('Back', { ask: unary<number, number>() });
  const interceptors = [concurrencyLimit({ limit: 1, queueTimeout: 60_000 })];
  const service = implement(Back, {
    ask: async (n, { channel }) => 1 + (await channel.stub(Back).ask(n)),
  });
  await using pair = await rig({
    services: [service],
    server: { interceptors },
    client: { services: [implement(Back, { ask: (n) => 10 * n })], interceptors },
  });
  expect(await Promise.all([1, 2, 3].map((n) => pair.client.stub(Back).ask(n)))).toEqual([
    11, 21, 31,
  ]);
});

test('timeout() of a server ends a call whose handler does not return, and later calls work', async () => {
  await using trial = await TestPair.open('server', timeout(20));
  expect(await outcome(trial.stub.wait(undefined, { timeout: Number.POSITIVE_INFINITY }))).toBe(
    'DEADLINE_EXCEEDED',
  );
  expect((await trial.waiting.next()).aborted).toBe(true);
  expect(await trial.stub.echo('a later call')).toBe('a later call');
});
