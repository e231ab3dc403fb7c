/** RollingCount: the number of events in a window. */
import { expect, test } from 'vitest';
import { RollingCount } from '../../../src/rpc/interceptors/rolling-count.js';

test('RollingCount removes events after the window and not before', () => {
  const count = new RollingCount(1_000);
  expect([
    count.add(50),
    count.add(950),
    count.at(1_049),
    count.at(1_050),
    count.at(1_099),
  ]).toEqual([1, 2, 2, 2, 2]);
  expect([
    count.at(1_100),
    count.add(1_999),
    count.at(2_000),
    count.at(99_999),
    count.add(1e9),
  ]).toEqual([1, 2, 1, 0, 1]);
  count.clear();
  expect(count.at(1e9)).toBe(0);
});

test('RollingCount counts with a clock below 0, as it does with another one', () => {
  const [below, above] = [new RollingCount(1_000), new RollingCount(1_000)];
  for (let time = -5_000; time < 5_000; time += 70)
    expect(below.add(time)).toBe(above.add(time + 100_000));
});
