/** Measures the turns of the event loop while a peer causes much work. */
import { expect } from 'vitest';
import {
  clientStream,
  contract,
  implement,
  serverStream,
  unary,
} from '../../../../src/rpc/index.js';
import { jsonRequest } from '../../../fixtures/rpc-frames.js';

/** The limit of one wait, in milliseconds. */
export const LIMIT = 60_000;
/** The longest turn, in milliseconds of processor time. */
const LONGEST_TURN = 50;

/** Calls `onTurn` in each turn of the event loop until `load` settles. */
async function watchTurns(onTurn: () => void, load: () => Promise<unknown>): Promise<void> {
  let isOver = false;
  const watch = (): void => {
    onTurn();
    if (!isOver) setImmediate(watch);
  };
  watch();
  try {
    await load();
  } finally {
    isOver = true;
  }
}

/**
 * Measures the processor time of each turn of the event loop until `load` settles. Expects that no
 * turn takes a large part of the total.
 */
export async function expectShortTurns(load: () => Promise<unknown>): Promise<void> {
  let longest = 0;
  let total = 0;
  let before = process.cpuUsage();
  await watchTurns(() => {
    const { user, system } = process.cpuUsage(before);
    before = process.cpuUsage();
    longest = Math.max(longest, (user + system) / 1_000);
    total += (user + system) / 1_000;
  }, load);
  // With less work in total, one turn for all of it would not be noticed.
  expect(total).toBeGreaterThan(1.5 * LONGEST_TURN);
  // The threads of the garbage collector count too, so a turn can look longer than it is. Work that
  // is not divided takes nearly the total in one turn.
  expect(longest).toBeLessThan(Math.max(1.5 * LONGEST_TURN, total / 2));
}

/** Blocks the event loop for `ms` milliseconds. */
export function block(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

/** Returns the largest growth of `count` in one turn of the event loop until `load` settles. */
export async function mostPerTurn(
  count: () => number,
  load: () => Promise<unknown>,
): Promise<number> {
  let most = 0;
  let before = count();
  await watchTurns(() => {
    most = Math.max(most, count() - before);
    before = count();
  }, load);
  return Math.max(most, count() - before);
}

export const Feed = contract('Feed', {
  double: unary<number, number>(),
  list: serverStream<number, string>(),
  sum: clientStream<number, number>(),
});

export const feed = implement(Feed, {
  double: (n) => 2 * n,
  *list(count) {
    for (let i = 0; i < count; i++) yield 'a message';
  },
  async sum(numbers) {
    let sum = 0;
    for await (const n of numbers) sum += n;
    return sum;
  },
});

/** Requests of one method of Feed, in one buffer. */
export const manyRequests = (count: number, method: string, argument: unknown): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, i) =>
      jsonRequest('Feed', method, argument, { sequence: BigInt(2 * i + 3), serviceId: 1 }),
    ),
  );
