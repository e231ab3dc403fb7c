/** Loads: how many calls they make, and what they measure. */
import { describe, expect, test } from 'vitest';
import { reportLines, reportOf } from '../../../src/cli/load/load-report.js';
import { LoadRun } from '../../../src/cli/load/load-run.js';
import { loadSvg } from '../../../src/cli/load/load-svg.js';
import { RpcError } from '../../../src/rpc/index.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { gate, until } from '../../fixtures/waiting.js';

noLeaks();

const never = new AbortController().signal;

describe('an open load', () => {
  test('makes as many calls as the rate and the duration say', async () => {
    let calls = 0;
    const run = new LoadRun(async () => void calls++, { rate: 1_000 }, 100, never);
    await run.run();
    expect(calls).toBe(100);
    expect(reportOf(run)).toMatchObject({ calls: 100, failed: 0, codes: {} });
  });

  test('that is stopped before its first call has a rate of 0', async () => {
    const run = new LoadRun(async () => {}, { rate: 1_000 }, 100, AbortSignal.abort());
    await run.run();
    expect([run.started, run.rate]).toEqual([0, 0]);
  });

  test('does not wait for answers, and counts the wait of a late start as latency', async () => {
    const answers = gate();
    const run = new LoadRun(() => answers.promise, { rate: 1_000 }, 20, never);
    const ended = run.run();
    await until(() => run.started === 20, 'all calls have started');
    expect(run.inFlight).toBe(20);
    answers.open();
    await ended;
    expect(run.inFlight).toBe(0);
  });

  test('measures no call as shorter than it was', async () => {
    const call = async (): Promise<void> => {
      const start = performance.now();
      while (performance.now() - start < 0.3);
    };
    const run = new LoadRun(call, { rate: 1_000 }, 200, never);
    await run.run();
    expect(run.latency.count).toBe(200);
    expect(run.latency.cumulative([0.25])).toEqual([0]);
  });

  test('has the rate at which calls started, however long the last answers take', async () => {
    const answers = gate();
    const run = new LoadRun(() => answers.promise, { rate: 1_000 }, 20, never);
    const start = performance.now();
    const ended = run.run();
    await until(() => run.started === 20, 'all calls have started');
    const starting = performance.now() - start;
    await until(() => performance.now() - start > 2 * starting, 'the answers are late');
    answers.open();
    await ended;
    expect(run.rate).toBeGreaterThanOrEqual(Math.min(1_000, 20_000 / starting));
    expect(reportLines(reportOf(run), undefined)[0]).toMatch(
      /^calls {4}20 in [\d.]+ s, started at \d+ calls\/s$/,
    );
  });

  test('makes one call at least', async () => {
    const run = new LoadRun(async () => {}, { rate: 1 }, 5, never);
    await run.run();
    expect(run.ended).toBe(1);
  });
});

describe('a closed load', () => {
  test('has so many calls in flight until the time is over', async () => {
    let inFlight = 0;
    let most = 0;
    const call = async (): Promise<void> => {
      most = Math.max(most, ++inFlight);
      await new Promise((resolve) => setImmediate(resolve));
      inFlight--;
    };
    const run = new LoadRun(call, { inFlight: 3 }, 30, never);
    await run.run();
    expect(most).toBe(3);
    expect(run.seconds).toBeGreaterThanOrEqual(0.03);
    expect(run.ended).toBeGreaterThanOrEqual(3);
  });

  test('lets other work run if its calls settle at once', async () => {
    const seen = new AbortController();
    let turns = 0;
    const count = (): void => {
      if (++turns === 3) seen.abort();
      else setImmediate(count);
    };
    setImmediate(count);
    await new LoadRun(async () => {}, { inFlight: 2 }, 10_000, seen.signal).run();
    expect(turns).toBe(3);
  });
});

test('a load ends early when its signal aborts, after the answers in flight', async () => {
  const controller = new AbortController();
  const answer = gate();
  const run = new LoadRun(() => answer.promise, { inFlight: 2 }, 300_000, controller.signal);
  const ended = run.run();
  controller.abort();
  expect(run.inFlight).toBe(2);
  answer.open();
  await ended;
  expect(run.ended).toBe(2);
});

test('failed calls are counted by code, and the first one is kept', async () => {
  let calls = 0;
  const fail = async (): Promise<void> => {
    if (calls++ % 4 === 0) throw new RpcError('NOT_FOUND', 'no \u001b order');
    throw new RpcError('INTERNAL', 'broken');
  };
  const run = new LoadRun(fail, { rate: 1_000 }, 8, never);
  await run.run();
  const report = reportOf(run);
  expect(report).toMatchObject({ calls: 8, failed: 8, codes: { INTERNAL: 6, NOT_FOUND: 2 } });
  expect(Object.keys(report.codes)[0]).toBe('INTERNAL');
  expect(reportLines(report, run.firstFailure)[1]).toBe(
    'failed   8: INTERNAL 6, NOT_FOUND 2; first: no \\u001b order',
  );
});

test('the latencies are those of calls that succeed', async () => {
  let calls = 0;
  const call = async (): Promise<void> => {
    if (++calls % 4 !== 0) throw new RpcError('RESOURCE_EXHAUSTED', 'no room');
    const start = performance.now();
    while (performance.now() - start < 20);
  };
  const run = new LoadRun(call, { rate: 1_000 }, 8, never);
  await run.run();
  const report = reportOf(run);
  expect(report).toMatchObject({ calls: 8, failed: 6 });
  expect(report.histogram.reduce((sum, { count }) => sum + count, 0)).toBe(2);
  expect(run.latency.count).toBe(2);
  expect(report.latency.p50).toBeGreaterThan(15);
  expect(report.failedMean).toBeGreaterThan(0);
  const lines = reportLines(report, run.firstFailure);
  expect(lines[2]).toMatch(/^ {9}mean [\d.]+ ms until a call has failed$/);
  expect(lines[3]).toMatch(/^latency {2}mean .* \(without failed calls\)$/);
  expect(loadSvg(report, 'A/b')).toContain('6 failed; p50 ');
  expect(loadSvg(report, 'A/b')).toContain('(without failed calls)');
});

test('a load without a call that succeeds has no latencies', async () => {
  const fail = async (): Promise<void> => {
    throw new RpcError('UNAVAILABLE', 'gone');
  };
  const run = new LoadRun(fail, { rate: 1_000 }, 3, never);
  await run.run();
  const report = reportOf(run);
  expect(report).toMatchObject({ histogram: [], latency: { p50: 0, max: 0 } });
  expect(reportLines(report, run.firstFailure).slice(3)).toEqual([
    'latency  no call has succeeded',
  ]);
  expect(loadSvg(report, 'A/b')).toContain('3 failed; no call has succeeded<');
});

test('a second has the calls that ended in it, and how many of them failed', async () => {
  let calls = 0;
  const call = async (): Promise<void> => {
    if (++calls === 1) throw new RpcError('UNAVAILABLE', 'gone');
  };
  const run = new LoadRun(call, { rate: 1_000 }, 4, never);
  await run.run();
  const second = run.takeSecond();
  expect([second.latency.count, second.failed]).toEqual([3, 1]);
  const next = run.takeSecond();
  expect([next.latency.count, next.failed]).toEqual([0, 0]);
  expect([run.ended, run.failed]).toEqual([4, 1]);
});

test('the histogram has each latency once', () => {
  const run = new LoadRun(async () => {}, { rate: 1 }, 5, never);
  for (const latency of [0.1, 0.1, 3, 100]) run.latency.add(latency);
  const { histogram, latency } = reportOf(run);
  expect(histogram[0]).toEqual({ limit: 0.125, count: 2 });
  expect(histogram.at(-1)).toEqual({ limit: 128, count: 1 });
  expect(histogram.reduce((sum, { count }) => sum + count, 0)).toBe(4);
  expect(latency.max).toBe(100);
  expect(latency.mean).toBeCloseTo(25.8);
});

test('the picture has a bar for each bucket, and no text that is markup', () => {
  const run = new LoadRun(async () => {}, { rate: 1 }, 5, never);
  for (const latency of [0.1, 0.1, 0.4]) run.latency.add(latency);
  const picture = loadSvg(reportOf(run), 'A<script>"&\u0007/b');
  expect(picture.match(/<rect /g)).toHaveLength(3);
  expect(picture).toContain('A&lt;script&gt;&quot;&amp;\ufffd/b');
  expect(picture).toMatch(/width="520"[\s\S]*width="0"[\s\S]*width="260"/);
});
