import { expect, it } from 'vitest';
import { TokenBucket } from '../../../src/transport/rate/token-bucket.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';

fakeTime();

/** The time of a bucket is read once per tick. */
async function after(ms: number): Promise<void> {
  await pass(ms);
  await new Promise((resolve) => setImmediate(resolve));
}

it('permits a burst, and then the rate', async () => {
  await after(0);
  const bucket = new TokenBucket(10, 500);
  expect(Array.from({ length: 5 }, () => bucket.take(1))).toEqual([0, 0, 0, 0, 0]);
  expect(bucket.has(1)).toBe(false);
  await after(100);
  expect(bucket.has(1)).toBe(true);
  expect(bucket.has(2)).toBe(false);
  expect(bucket.take(1)).toBe(0);
});

it('lets callers in debt wait for their turn', async () => {
  await after(0);
  const bucket = new TokenBucket(10, 100);
  expect([1, 1, 1, 5].map((count) => bucket.take(count))).toEqual([0, 100, 200, 700]);
  await after(650);
  expect(bucket.take(1)).toBeCloseTo(150);
});

it('is full after the burst, not fuller', async () => {
  await after(0);
  const bucket = new TokenBucket(1_000, 1_000);
  await after(3_600_000);
  expect(bucket.take(1_000)).toBe(0);
  expect(bucket.take(1)).toBe(1);
});

it('holds at least one token, also at a very low rate', async () => {
  await after(0);
  const bucket = new TokenBucket(0.001, 10);
  expect(bucket.take(1)).toBe(0);
  expect(bucket.take(1)).toBe(1_000_000);
  await after(1_000_000);
  expect(bucket.take(1)).toBeCloseTo(1_000_000);
});

it('keeps the average over many odd intervals', async () => {
  await after(0);
  const bucket = new TokenBucket(30, 1_000);
  let time = 0;
  for (let taken = 0; taken < 300; taken++) {
    const wait = bucket.take(1);
    time += wait;
    await after(wait);
  }
  // 30 of them are the burst.
  expect(time).toBeCloseTo(9_000, -1);
});
