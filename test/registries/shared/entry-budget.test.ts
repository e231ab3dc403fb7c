/** The limits of the entries that a registry keeps. */
import { expect, test } from 'vitest';
import { EntryBudget } from '../../../src/registries/shared/entry-budget.js';
import { RecordingLogger } from '../../fixtures/registries.js';

function budgetOf(maxEntries: number, maxBytes: number) {
  const log = new RecordingLogger();
  return { log, budget: new EntryBudget('/root', { maxEntries, maxBytes }, log) };
}

test('refuses entries over each limit, and logs that once', () => {
  for (const [maxEntries, maxBytes] of [
    [2, 1_000],
    [1_000, 20],
  ] as const) {
    const { budget, log } = budgetOf(maxEntries, maxBytes);
    expect([budget.add(10), budget.add(10), budget.add(10), budget.add(10)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(log.lines).toHaveLength(1);
  }
});

test('has room again when a tenth of the entries was removed', () => {
  const { budget, log } = budgetOf(20, 1_000);
  for (let i = 0; i < 21; i++) budget.add(1);
  expect(budget.hasRoomAgain).toBe(false);
  for (let i = 0; i < 3; i++) budget.remove(1);
  expect(budget.hasRoomAgain).toBe(true);
  budget.retry();
  expect(budget.hasRoomAgain).toBe(false);
  for (let i = 0; i < 4; i++) budget.add(1);
  expect(log.lines).toHaveLength(2);
});

test('has no room for an entry that is larger than the room that was left', () => {
  const { budget } = budgetOf(1_000, 100);
  budget.add(60);
  expect(budget.add(50)).toBe(false);
  expect(budget.hasRoomAgain).toBe(false);
  budget.remove(60);
  expect(budget.hasRoomAgain).toBe(true);
});

test('counts anew, and logs again only after all entries have fitted', () => {
  const { budget, log } = budgetOf(1, 1_000);
  for (const [entries, lines] of [
    [2, 1],
    [2, 1],
    [1, 1],
    [2, 2],
  ] as const) {
    budget.restart();
    for (let i = 0; i < entries; i++) budget.add(1);
    expect(log.lines).toHaveLength(lines);
  }
});
