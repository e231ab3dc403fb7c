/** KeyedStates: limits of the number and the length of keys that a peer chooses. */
import { expect, test } from 'vitest';
import { KeyedStates } from '../../../src/rpc/interceptors/keyed-states.js';

interface State {
  idle: boolean;
}

function statesOf(max: number): { states: KeyedStates<State>; clock: { now: number } } {
  const clock = { now: 0 };
  const states = new KeyedStates<State>(
    () => ({ idle: false }),
    ({ idle }) => idle,
    max,
    () => clock.now,
  );
  return { states, clock };
}

/** A key of `length` characters that differs from others at its end alone. */
const keyOf = (n: number, length: number): string => `${n}`.padStart(length, '.');

test('gives further keys one shared state when all keys have 256 × `max` characters', () => {
  const { states } = statesOf(1_010);
  const own = Array.from({ length: 64 }, (_, n) => states.of(keyOf(n, 4_000)));
  expect(new Set(own).size).toBe(64);
  const shared = states.of(keyOf(64, 4_000));
  expect(states.of(keyOf(65, 4_000))).toBe(shared);
  expect(own).not.toContain(shared);
  // Known keys keep their state, and a short key still has room.
  expect(own.every((state, n) => states.of(keyOf(n, 4_000)) === state)).toBe(true);
  expect(states.of('short')).not.toBe(shared);
  expect(states.size).toBe(65);
});

test('removes idle keys when the limit of characters is reached', () => {
  const { states, clock } = statesOf(1_000);
  const own = Array.from({ length: 64 }, (_, n) => states.of(keyOf(n, 4_000)));
  for (const state of own.slice(0, 10)) state.idle = true;
  clock.now = 1_000;
  const next = Array.from({ length: 12 }, (_, n) => states.of(keyOf(100 + n, 4_000)));
  expect(new Set(next).size).toBe(11);
  expect(states.size).toBe(64);
});

test('accepts long keys while they are few', () => {
  const { states } = statesOf(2);
  expect(states.of(keyOf(1, 30_000))).not.toBe(states.of(keyOf(2, 30_000)));
  expect(states.size).toBe(2);
});

test('does not keep the text that a key is a part of', () => {
  const { states } = statesOf(1_000);
  const before = process.memoryUsage().heapUsed;
  for (let n = 0; n < 1_000; n++) states.of(`${n}`.padEnd(200_000, 'x').slice(0, 40));
  // The texts have 200 MB.
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(100 * 2 ** 20);
  expect(states.size).toBe(1_000);
});
