/** LatencyGradient: how the limit of adaptiveLimit() follows the latencies of calls. */
import { describe, expect, it } from 'vitest';
import { LatencyGradient } from '../../../src/rpc/interceptors/concurrency/latency-gradient.js';
import type { Method } from '../../../src/rpc/types.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';

const METHOD = { name: 'a' } as Method;
const OTHER = { name: 'b' } as Method;
const SETTINGS = { initialLimit: 20, minLimit: 1, maxLimit: 1_000, tolerance: 1.5 };
/** Milliseconds. */
const STEP = 20;

/** A server that works on `slots` calls at once, for `work` ms each. More calls share the slots. */
class Model {
  slots: number;
  work = 10;
  readonly limits: number[] = [];
  readonly gradient: LatencyGradient;

  constructor(slots: number, settings: Partial<typeof SETTINGS> = {}) {
    this.slots = slots;
    this.gradient = new LatencyGradient({ ...SETTINGS, ...settings }, (limit) => {
      this.limits.push(limit);
    });
  }

  /** `inFlight`: the calls in flight if there were no limit. */
  async run(inFlight: number, seconds: number): Promise<void> {
    for (let time = 0; time < seconds * 1_000; time += STEP) {
      const active = Math.min(inFlight, this.gradient.limit);
      const ms = this.work * Math.max(1, active / this.slots);
      for (let i = 0; i < 4; i++) this.gradient.onCallEnd(METHOD, ms, active, false);
      await pass(STEP);
    }
  }
}

describe('the limit', () => {
  fakeTime();

  it.each([
    [2, 10],
    [10, 35],
    [100, 170],
  ])('settles between %i slots and %i under any load, without drifting', async (slots, most) => {
    const model = new Model(slots, { initialLimit: slots });
    await model.run(10_000, 30);
    const settled: number[] = [];
    for (let i = 0; i < 20; i++) {
      await model.run(10_000, 10);
      settled.push(model.gradient.limit);
    }
    const usual = settled.sort((a, b) => a - b)[10] as number;
    expect(usual).toBeGreaterThanOrEqual(slots);
    expect(usual).toBeLessThanOrEqual(most);
  });

  it('finds the slots of a server that is overloaded from its start', async () => {
    const model = new Model(2);
    await model.run(10_000, 180);
    expect(model.gradient.limit).toBeLessThanOrEqual(10);
  });

  it('grows to `maxLimit` while calls do not wait for each other', async () => {
    const model = new Model(10_000, { maxLimit: 90 });
    await model.run(10_000, 60);
    expect(Math.max(...model.limits)).toBe(90);
  });

  it('stays while at most half of it is in use', async () => {
    const model = new Model(1);
    await model.run(10, 60);
    expect(model.limits).toEqual([]);
  });

  it('falls to `minLimit` when calls become much slower, and recovers with them', async () => {
    const model = new Model(50, { initialLimit: 50, minLimit: 12 });
    await model.run(10_000, 5);
    model.slots = 2;
    await model.run(10_000, 4);
    expect(model.gradient.limit).toBeLessThanOrEqual(12);
    model.slots = 50;
    await model.run(10_000, 60);
    expect(Math.max(...model.limits.slice(-20))).toBeGreaterThanOrEqual(50);
  });

  it('follows calls that take longer for good, by its probes', async () => {
    const model = new Model(50, { initialLimit: 50 });
    await model.run(20, 5);
    model.work = 40;
    await model.run(10_000, 300);
    expect(Math.max(...model.limits.slice(-20))).toBeGreaterThanOrEqual(50);
  });

  it('does not fall because calls of a slower method are mixed in', async () => {
    const model = new Model(1_000, { initialLimit: 50, maxLimit: 50 });
    await model.run(20, 5);
    for (let i = 0; i < 500; i++) {
      model.gradient.onCallEnd(OTHER, 500, 50, false);
      await model.run(10_000, STEP / 1_000);
    }
    // Probes use a quarter of the limit.
    expect(new Set(model.limits)).toEqual(new Set([12, 50]));
  });

  it('does not take fast errors for fast calls', async () => {
    const model = new Model(100);
    await model.run(20, 2);
    for (let i = 0; i < 200; i++) {
      for (let k = 0; k < 5; k++) model.gradient.onCallEnd(METHOD, 0.1, 20, true);
      await model.run(10_000, STEP / 1_000);
    }
    expect(Math.max(...model.limits)).toBeGreaterThan(20);
  });

  it('counts slow errors', async () => {
    const model = new Model(100, { initialLimit: 40 });
    await model.run(20, 2);
    for (let i = 0; i < 40; i++) {
      for (let k = 0; k < 5; k++) model.gradient.onCallEnd(METHOD, 5_000, 40, true);
      await pass(STEP);
    }
    expect(model.gradient.limit).toBeLessThan(30);
  });
});
