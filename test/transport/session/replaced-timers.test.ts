/** Periodic work and deadlines, after the timers of the process were replaced. */
import { mock } from 'node:test';
import { afterEach, expect, test, vi } from 'vitest';
import { onNextTurn, spend } from '../../../src/core/turn.js';
import {
  connect,
  contract,
  implement,
  type RpcClient,
  serve,
  unary,
} from '../../../src/rpc/index.js';
import {
  connect as dial,
  type GettyError,
  lines,
  serve as listen,
} from '../../../src/transport/index.js';
import { spinFor } from '../../../src/transport/session/busy-poll.js';
import { every, runningWheels } from '../../../src/transport/session/timer-wheel.js';
import { block, Inbox, turns } from '../../fixtures/waiting.js';

const Slow = contract('Slow', {
  wait: unary<string, string>(),
  reply: unary<string, string>(),
});
const slow = implement(Slow, { wait: () => new Promise(() => {}), reply: (text) => text });
const TO_FAKE = [
  'setTimeout',
  'clearTimeout',
  'setInterval',
  'clearInterval',
  'Date',
  'performance',
] as const;

const useFakeTimers = (): unknown => vi.useFakeTimers({ toFake: [...TO_FAKE] });

afterEach(() => {
  vi.useRealTimers();
  mock.timers.reset();
  mock.restoreAll();
  expect(runningWheels()).toBe(0);
});

async function pair() {
  const server = await serve('memory://', [slow]);
  const client = await connect(server.address, { connections: 1 });
  const [session] = await Promise.all([client.stub(Slow).reply('a')]);
  expect(session).toBe('a');
  return {
    client,
    destroy(): void {
      client.destroy();
      server.destroy();
    },
  };
}

/** Receives the code of the error of a call that is never answered. */
function outcomeOf(client: RpcClient, timeout: number): Inbox<string> {
  const outcome = new Inbox<string>('the end of the call');
  client
    .stub(Slow)
    .wait('', { timeout })
    .catch(({ code }) => outcome.push(code));
  return outcome;
}

test('calls end at their timeout although an earlier call waits with timers that are gone', async () => {
  useFakeTimers();
  const first = await pair();
  const lost = outcomeOf(first.client, 60_000);
  await vi.advanceTimersByTimeAsync(1_000);
  vi.useRealTimers();

  useFakeTimers();
  const second = await pair();
  const fake = outcomeOf(second.client, 100);
  await vi.advanceTimersByTimeAsync(200);
  expect(fake.all).toEqual(['DEADLINE_EXCEEDED']);
  vi.useRealTimers();

  const third = await pair();
  expect(await outcomeOf(third.client, 50).next()).toBe('DEADLINE_EXCEEDED');
  for (const { destroy } of [first, second, third]) destroy();
  expect(await lost.next()).toBe('UNAVAILABLE');
});

test('later calls of a session end at their timeout when its timers are gone', async () => {
  const { client, destroy } = await pair();
  useFakeTimers();
  const lost = outcomeOf(client, 1e9);
  await vi.advanceTimersByTimeAsync(1_000);
  vi.useRealTimers();
  await turns(2);
  expect(await outcomeOf(client, 50).next()).toBe('DEADLINE_EXCEEDED');
  expect(lost.all).toEqual([]);
  destroy();
  await lost.next();
});

test('calls end with the timers of node:test, enabled again without a pause', async () => {
  const enable = (): void => {
    const start = performance.now() - Date.now();
    mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: Date.now() });
    mock.method(performance, 'now', () => start + Date.now());
  };
  enable();
  const first = await pair();
  const lost = outcomeOf(first.client, 60_000);
  mock.timers.reset();
  mock.restoreAll();
  enable();
  const second = await pair();
  const outcome = outcomeOf(second.client, 100);
  mock.timers.tick(200);
  await turns(5);
  expect(outcome.all).toEqual(['DEADLINE_EXCEEDED']);
  first.destroy();
  second.destroy();
  await lost.next();
});

test('tasks run with timers that are replaced, and once per period', async () => {
  let early = 0;
  let late = 0;
  const stopEarly = every(50, () => early++);
  useFakeTimers();
  const stopLate = every(50, () => late++);
  await vi.advanceTimersByTimeAsync(500);
  await turns(2);
  expect([early, late]).toEqual([10, 10]);
  stopEarly();
  stopLate();
});

test('a task that is added after clearAllTimers() starts the timer of its period again', async () => {
  useFakeTimers();
  let calls = 0;
  const stops = [every(20, () => calls++)];
  vi.clearAllTimers();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(calls).toBe(0);
  stops.push(every(20, () => calls++));
  await vi.advanceTimersByTimeAsync(40);
  await turns(2);
  expect(calls).toBeGreaterThan(2);
  for (const stop of stops) stop();
});

/** Uses a clock that is an hour ahead. */
async function hourAhead(use: () => unknown): Promise<void> {
  const clock = performance.now.bind(performance);
  mock.method(performance, 'now', () => clock() + 3_600_000);
  await use();
  mock.restoreAll();
}

test('a session ends after idleTimeout when a clock that was ahead is gone', async () => {
  const stop = every(50, () => {});
  await hourAhead(stop);
  const errors = new Inbox<string>('an error of the session');
  const listener = {
    onMessage() {},
    onError: (_: unknown, { code }: GettyError) => errors.push(code),
  };
  const server = await listen('memory://', { codec: lines(), listener, idleTimeout: 50 });
  const client = await dial(server.address, { codec: lines(), listener: { onMessage() {} } });
  expect(await errors.next()).toBe('IDLE_TIMEOUT');
  client.destroy();
  await server.close();
});

test('work in one turn is limited when a clock that was ahead is gone', async () => {
  await hourAhead(async () => {
    await new Promise<void>((resolve) => onNextTurn(resolve));
    await turns(3);
  });
  let checks = 0;
  for (; checks < 5 && !spend(64); checks++) block(15);
  expect(checks).toBeLessThan(5);
});

test('busy polling ends when a clock that was ahead is gone', async () => {
  await hourAhead(() => spinFor(1));
  await turns(2);
  expect(process.getActiveResourcesInfo()).not.toContain('Immediate');
});

test('turns continue after a setImmediate() that is gone', async () => {
  vi.useFakeTimers({ toFake: ['setImmediate', 'clearImmediate'] });
  const lost = new Inbox<string>('the first task');
  onNextTurn(() => lost.push('first'));
  vi.useRealTimers();
  const next = new Inbox<string>('the second task');
  onNextTurn(() => next.push('second'));
  expect(await next.next()).toBe('second');
  expect(lost.all).toEqual(['first']);
  expect(spend(1)).toBe(false);
});
