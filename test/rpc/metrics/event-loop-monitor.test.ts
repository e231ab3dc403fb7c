/** The delay of the event loop, which is measured while a watcher asks for it. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { EventLoopMonitor } from '../../../src/rpc/metrics/event-loop-monitor.js';
import { until } from '../../fixtures/waiting.js';

const monitors: EventLoopMonitor[] = [];

function newMonitor(): EventLoopMonitor {
  const monitor = new EventLoopMonitor();
  monitors.push(monitor);
  return monitor;
}

afterEach(() => {
  for (const monitor of monitors.splice(0)) monitor.close();
  vi.useRealTimers();
});

describe('EventLoopMonitor', () => {
  test('measures from the first report on', async () => {
    const monitor = newMonitor();
    expect(monitor.isMeasuring).toBe(false);
    expect(monitor.report()).toBeUndefined();
    expect(monitor.isMeasuring).toBe(true);
    await until(() => monitor.report() !== undefined, 'a measurement');
    const end = performance.now() + 150;
    while (performance.now() < end);
    await until(() => (monitor.report()?.max ?? 0) > 100, 'the measurement of a blocked loop');
    const { p50, p99, max } = monitor.report() ?? { p50: -1, p99: -1, max: -1 };
    expect(p50).toBeGreaterThanOrEqual(0);
    expect(p99).toBeGreaterThanOrEqual(p50);
    expect(max).toBeGreaterThanOrEqual(p99);
  });

  test('forgets a delay after 10 s, and ends after 30 s without a report', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const monitor = newMonitor();
    monitor.report();
    await until(() => monitor.report() !== undefined, 'a measurement');
    vi.advanceTimersByTime(5_000);
    expect(monitor.report()).toBeDefined();
    vi.advanceTimersByTime(5_000);
    vi.advanceTimersByTime(19_999);
    expect(monitor.isMeasuring).toBe(true);
    monitor.report();
    vi.advanceTimersByTime(25_000);
    expect(monitor.isMeasuring).toBe(true);
    vi.advanceTimersByTime(5_001);
    expect(monitor.isMeasuring).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
    monitor.report();
    expect(monitor.isMeasuring).toBe(true);
  });

  test('measures nothing after its end', () => {
    const monitor = newMonitor();
    monitor.report();
    monitor.close();
    expect(monitor.report()).toBeUndefined();
    expect(monitor.isMeasuring).toBe(false);
  });
});
