import fc from 'fast-check';
import { expect, it } from 'vitest';
import { MIN_PAUSE } from '../../../src/transport/rate/rate-options.js';
import { Ticket, TokenBucket } from '../../../src/transport/rate/token-bucket.js';
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

/** Makes tickets that add their names to `paid`. */
function ticketsOf(paid: string[], ...names: string[]): Ticket[] {
  return names.map((name) => new Ticket(() => paid.push(name)));
}

it('calls callers that wait in order, each when its tokens are paid', async () => {
  await after(0);
  const bucket = new TokenBucket(10, 100);
  const paid: string[] = [];
  const tickets = ticketsOf(paid, 'a', 'b', 'c');
  expect(bucket.take(1)).toBe(0);
  for (const ticket of tickets) expect(bucket.takeInTurn(1, ticket)).toBe(false);
  await after(90);
  expect(paid).toEqual([]);
  await after(20);
  expect(paid).toEqual(['a']);
  await after(200);
  expect(paid).toEqual(['a', 'b', 'c']);
});

it('lets those behind a caller that gives back its tokens wait less, and no others', async () => {
  await after(0);
  const bucket = new TokenBucket(10, 100);
  const paid: string[] = [];
  const [a, b, c] = ticketsOf(paid, 'a', 'b', 'c') as [Ticket, Ticket, Ticket];
  bucket.take(1);
  bucket.takeInTurn(5, a);
  bucket.takeInTurn(1_000, b);
  bucket.takeInTurn(1, c);
  bucket.cancel(b, 1_000);
  await after(490);
  expect(paid).toEqual([]);
  await after(20);
  expect(paid).toEqual(['a']);
  await after(100);
  expect(paid).toEqual(['a', 'c']);
});

it('lets a caller wait less when paid tokens are given back', async () => {
  await after(0);
  const bucket = new TokenBucket(1, 100_000);
  const paid: string[] = [];
  const [a] = ticketsOf(paid, 'a') as [Ticket];
  bucket.take(100);
  bucket.takeInTurn(50, a);
  bucket.giveBack(50);
  await after(MIN_PAUSE);
  expect(paid).toEqual(['a']);
});

it('does not delay a caller while others come and go', async () => {
  await after(0);
  const bucket = new TokenBucket(100, 10);
  const paid: string[] = [];
  const [a] = ticketsOf(paid, 'a') as [Ticket];
  bucket.take(1);
  bucket.takeInTurn(3, a);
  for (let i = 0; i < 8; i++) {
    const [other] = ticketsOf(paid, 'other') as [Ticket];
    bucket.takeInTurn(100, other);
    await after(4);
    bucket.cancel(other, 100);
  }
  expect(paid).toEqual(['a']);
});

it('moves a caller that takes more while it waits to the end', async () => {
  await after(0);
  const bucket = new TokenBucket(10, 100);
  const paid: string[] = [];
  const [a, b] = ticketsOf(paid, 'a', 'b') as [Ticket, Ticket];
  bucket.take(1);
  bucket.takeInTurn(1, a);
  bucket.takeInTurn(1, b);
  bucket.takeInTurn(1, a);
  await after(210);
  expect(paid).toEqual(['b']);
  await after(100);
  expect(paid).toEqual(['b', 'a']);
});

it('is paid on time, whoever takes, waits and gives back', async () => {
  const steps = fc.oneof(
    fc.record({ take: fc.integer({ min: 1, max: 30 }) }),
    fc.record({ wait: fc.nat(5), count: fc.integer({ min: 1, max: 30 }) }),
    fc.record({ cancel: fc.nat(5) }),
    fc.record({ pass: fc.integer({ min: 1, max: 60 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { maxLength: 40 }), async (all) => {
      await after(0);
      const bucket = new TokenBucket(100, 100);
      /** What was taken in order: the caller that waits for it, and since when it may be paid. */
      let taken: { caller: number; count: number; dueAt: number }[] = [];
      let tokens = 10;
      const refill = (ms: number): void => {
        tokens = Math.min(10, tokens + ms / 10);
        let rest = -tokens;
        for (const item of taken.toReversed()) {
          if (rest <= 0.001) item.dueAt = Math.min(item.dueAt, performance.now());
          rest -= item.count;
        }
      };
      const remove = (caller: number): void => {
        for (const item of taken) if (item.caller === caller) item.caller = -1;
      };
      const tickets = Array.from({ length: 6 }, (_, caller) => {
        return new Ticket(() => {
          const item = taken.find((other) => other.caller === caller);
          // Within the last millisecond it is paid a little early.
          expect(item).toBeDefined();
          remove(caller);
        });
      });
      const take = (count: number, caller: number): void => {
        tokens -= count;
        taken.push({ caller, count, dueAt: Number.POSITIVE_INFINITY });
      };
      const pass1 = async (ms: number): Promise<void> => {
        for (let i = 0; i < ms; i++) {
          refill(1);
          await after(1);
          const late = taken.filter(
            ({ caller, dueAt }) => caller >= 0 && dueAt + 2 * MIN_PAUSE < performance.now(),
          );
          expect(late).toEqual([]);
        }
      };
      for (const step of all) {
        if ('take' in step) {
          bucket.take(step.take);
          take(step.take, -1);
        } else if ('count' in step) {
          const isPaid = tokens - step.count > -1e-6;
          expect(bucket.takeInTurn(step.count, tickets[step.wait] as Ticket)).toBe(isPaid);
          if (!isPaid) remove(step.wait);
          take(step.count, isPaid ? -1 : step.wait);
        } else if ('cancel' in step) {
          const item = taken.find(({ caller }) => caller === step.cancel);
          if (item === undefined) continue;
          bucket.cancel(tickets[step.cancel] as Ticket, item.count);
          tokens = Math.min(10, tokens + item.count);
          taken = taken.filter((other) => other !== item);
          refill(0);
        } else await pass1(step.pass);
      }
      for (const [caller, ticket] of tickets.entries()) {
        bucket.cancel(ticket, 0);
        remove(caller);
      }
    }),
    { numRuns: 30 },
  );
});
