/** PendingRequests: the ring of requests that wait for an answer. */
import { describe, expect, test, vi } from 'vitest';
import { PendingRequest, PendingRequests } from '../../../src/rpc/calls/pending-requests.js';
import { RpcError } from '../../../src/rpc/index.js';
import { thrown } from '../../fixtures/transports.js';
import { until } from '../../fixtures/waiting.js';

class Probe extends PendingRequest {
  readonly events: string[] = [];

  constructor(deadline?: number) {
    super();
    if (deadline !== undefined) this.deadline = deadline;
  }

  get sequence(): bigint {
    return (BigInt(this.sequenceHigh) << 32n) | BigInt(this.sequenceLow >>> 0);
  }

  fail(error: RpcError): void {
    this.events.push(error.code);
  }

  expire(): void {
    this.events.push('expired');
  }
}

const take = (pending: PendingRequests<Probe>, probe: Probe): Probe | undefined =>
  pending.take(probe.sequenceLow, probe.sequenceHigh);
const LIMIT = 100_000;

/** A ring whose sequences begin just above (high, low) instead of at a random number. */
function startingAt(high: number, low: number, parity: 0 | 1 = 1): PendingRequests<Probe> {
  const random = vi
    .spyOn(Math, 'random')
    .mockReturnValueOnce(high / 0x4000_0000)
    .mockReturnValueOnce(low / 0x8000_0000);
  try {
    return new PendingRequests<Probe>(parity, LIMIT);
  } finally {
    random.mockRestore();
  }
}

function added(pending: PendingRequests<Probe>, deadline?: number): Probe {
  const probe = new Probe(deadline);
  pending.add(probe);
  return probe;
}

describe('sequences', () => {
  test.each([0, 1] as const)('have parity %d, grow by 2 and fit into 63 bits', (parity) => {
    for (const pending of [
      new PendingRequests<Probe>(parity, LIMIT),
      startingAt(0, 0, parity),
      startingAt(0x3fff_ffff, 0x7fff_ffff, parity),
    ]) {
      let last: bigint | undefined;
      for (let i = 0; i < 1000; i++) {
        const probe = added(pending);
        expect(probe.sequence & 1n).toBe(BigInt(parity));
        expect(probe.sequence > 0n && probe.sequence < 2n ** 63n).toBe(true);
        if (last !== undefined) expect(probe.sequence - last).toBe(2n);
        last = probe.sequence;
        take(pending, probe);
      }
    }
  });

  test.each([0, 1] as const)(
    'carry from the low half into the high half at 2^32, with parity %d',
    (parity) => {
      const pending = startingAt(5, 0xffff_fff0, parity);
      const probes = Array.from({ length: 40 }, () => added(pending));
      expect(probes[0]?.sequenceHigh).toBe(5);
      expect(probes.at(-1)?.sequenceHigh).toBe(6);
      for (const [index, probe] of probes.entries())
        if (index > 0) expect(probe.sequence - (probes[index - 1] as Probe).sequence).toBe(2n);
      for (const probe of probes) expect(take(pending, probe)).toBe(probe);
      expect(pending.size).toBe(0);
    },
  );

  test('are positive as int64: the high half stays below 2^31', () => {
    const pending = startingAt(0x7fff_ffff, 0xffff_fffc);
    expect(Array.from({ length: 4 }, () => added(pending).sequenceHigh)).toEqual([
      0x7fff_ffff, 0, 0, 0,
    ]);
  });

  test('begin at a random number in each ring', () => {
    expect(added(new PendingRequests<Probe>(1, LIMIT)).sequence).not.toBe(
      added(new PendingRequests<Probe>(1, LIMIT)).sequence,
    );
  });
});

describe('take()', () => {
  test('returns an added request once', () => {
    const pending = new PendingRequests<Probe>(1, LIMIT);
    const probe = added(pending);
    expect(pending.size).toBe(1);
    expect(take(pending, probe)).toBe(probe);
    expect(take(pending, probe)).toBeUndefined();
    expect(pending.size).toBe(0);
  });

  test('returns nothing for another sequence of the same slot', () => {
    const pending = new PendingRequests<Probe>(1, LIMIT);
    const probe = added(pending);
    expect(pending.take(probe.sequenceLow, probe.sequenceHigh ^ 1)).toBeUndefined();
    for (const bits of [7, 8, 16, 31])
      expect(pending.take(probe.sequenceLow ^ (2 ** bits), probe.sequenceHigh)).toBeUndefined();
    expect(pending.size).toBe(1);
  });

  test('returns a slow request after thousands of quick ones', () => {
    const pending = startingAt(1, 0xffff_0000);
    const slow = [added(pending), added(pending), added(pending)];
    for (let i = 0; i < 100_000; i++) {
      const quick = added(pending);
      if (take(pending, quick) !== quick) expect.fail(`request ${i} was not found`);
    }
    for (const probe of slow) expect(take(pending, probe)).toBe(probe);
    expect(pending.size).toBe(0);
  });

  test('returns each of many slow requests in any order, while the ring grows', () => {
    const pending = startingAt(1, 0xffff_ff00);
    let probes: Probe[] = [];
    let seed = 1;
    const random = (): number => {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fff_ffff;
      return seed / 0x8000_0000;
    };
    for (let i = 0; i < 50_000; i++) {
      if (random() < 0.7 || probes.length === 0) probes.push(added(pending));
      else {
        const at = Math.floor(random() * probes.length);
        const probe = probes[at] as Probe;
        probes[at] = probes.at(-1) as Probe;
        probes.pop();
        if (take(pending, probe) !== probe) expect.fail(`request ${i} was not found`);
      }
      if (pending.size !== probes.length)
        expect.fail(`${pending.size} are kept, expected ${probes.length}`);
    }
    expect(new Set(probes.map(({ sequence }) => sequence)).size).toBe(probes.length);
    for (const probe of probes)
      if (take(pending, probe) !== probe) expect.fail('a request was lost');
    probes = [];
    expect(pending.size).toBe(0);
  });

  test('add() throws RESOURCE_EXHAUSTED with `unsent` at the limit, and adds nothing', () => {
    const pending = new PendingRequests<Probe>(1, 3);
    const probes = [added(pending), added(pending), added(pending)];
    expect(thrown<RpcError>(() => added(pending))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      unsent: true,
    });
    expect(pending.size).toBe(3);
    take(pending, probes[1] as Probe);
    added(pending);
    expect(pending.size).toBe(3);
  });
});

describe('sweep()', () => {
  test('expires each request that is due once, and keeps the others', () => {
    const pending = new PendingRequests<Probe>(1, LIMIT);
    const probes = [added(pending, 10), added(pending, 20), added(pending, 30), added(pending)];
    const seen = (): string[][] => probes.map(({ events }) => events);
    pending.sweep(9);
    expect(seen()).toEqual([[], [], [], []]);
    pending.sweep(20);
    expect(seen()).toEqual([['expired'], ['expired'], [], []]);
    pending.sweep(25);
    pending.sweep(1e9);
    expect(seen()).toEqual([['expired'], ['expired'], ['expired'], []]);
    expect(pending.size).toBe(1);
    expect(take(pending, probes[0] as Probe)).toBeUndefined();
  });

  test('expires a request that was added later with a nearer deadline', () => {
    const pending = new PendingRequests<Probe>(1, LIMIT);
    added(pending, 100);
    pending.sweep(50);
    const near = added(pending, 60);
    pending.sweep(60);
    expect(near.events).toEqual(['expired']);
  });

  test('does not expire a request that was taken', () => {
    const pending = new PendingRequests<Probe>(1, LIMIT);
    const probe = added(pending, 10);
    take(pending, probe);
    pending.sweep(1e9);
    expect(probe.events).toEqual([]);
  });
});

test('failAll() makes an error for each request', () => {
  const pending = new PendingRequests<Probe>(1, LIMIT);
  const errors: RpcError[] = [];
  for (let n = 0; n < 3; n++) added(pending).fail = (error) => errors.push(error);
  pending.failAll(() => new RpcError('UNAVAILABLE', 'the session was lost'));
  expect(errors).toHaveLength(3);
  expect(new Set(errors).size).toBe(3);
});

test('failAll() fails each request once, also when a failure calls take() and sweep()', async () => {
  const pending = new PendingRequests<Probe>(1, LIMIT);
  const probes = Array.from({ length: 1000 }, () => added(pending, 10));
  const reentrant = new Probe();
  reentrant.fail = (error) => {
    reentrant.events.push(error.code);
    for (const probe of probes) expect(take(pending, probe)).toBeUndefined();
    pending.sweep(1e9);
  };
  pending.add(reentrant);
  pending.failAll(() => ({ code: 'UNAVAILABLE' }) as RpcError);
  await until(
    () => [...probes, reentrant].every(({ events }) => events.length > 0),
    'all requests have failed',
  );
  for (const probe of [...probes, reentrant]) expect(probe.events).toEqual(['UNAVAILABLE']);
  expect(pending.size).toBe(0);
  expect(take(pending, added(pending))).toBeDefined();
});
