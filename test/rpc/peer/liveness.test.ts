/** Liveness: when a peer is asked for a sign of life, and when its answer is overdue. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { connect, contract, implement, serve, unary } from '../../../src/rpc/index.js';
import { Liveness } from '../../../src/rpc/peer/liveness.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freeMemoryAddress } from '../../fixtures/rpc.js';
import { TcpProxy } from '../../fixtures/tcp-proxy.js';
import { elapse, gate, Inbox, until } from '../../fixtures/waiting.js';

describe('Liveness', () => {
  /** Checks every 20 ms from `from` to `to`. Returns the times at which the peer is asked. */
  function checks(
    liveness: Liveness,
    from: number,
    to: number,
    signs: { active: number; callEvents?: number },
  ): number[] {
    const asks: number[] = [];
    for (let time = from; time <= to; time += 20)
      if (liveness.check({ callEvents: 0, ...signs, time })) asks.push(time);
    return asks;
  }

  test('asks a silent peer after 500 ms, and finds the answer overdue 250 ms later', () => {
    const liveness = new Liveness(15_000);
    expect(checks(liveness, 1_000, 1_500, { active: 1 })[0]).toBe(1_500);
    liveness.onHeartbeatSent(1, 1_500, true);
    expect(checks(liveness, 1_520, 1_740, { active: 1 })).toEqual([]);
    expect(liveness.isOverdue).toBe(false);
    checks(liveness, 1_760, 1_760, { active: 1 });
    expect(liveness.isOverdue).toBe(true);
    checks(liveness, 1_780, 1_780, { active: 2 });
    expect(liveness.isOverdue).toBe(false);
  });

  test('doubles the time between two questions while the peer only answers heartbeats, up to the longest silence', () => {
    const liveness = new Liveness(4_000);
    const gaps: number[] = [];
    let active = 1;
    let before = 1_000;
    for (let time = 1_000; time < 60_000; time += 20) {
      if (!liveness.check({ active, callEvents: 0, time })) continue;
      gaps.push(time - before);
      before = time;
      liveness.onHeartbeatSent(active, time, true);
      active++;
    }
    expect(gaps.map((gap) => Math.round(gap / 500))).toEqual([
      1,
      2,
      4,
      8,
      ...gaps.slice(4).map(() => 8),
    ]);
  });

  test('sends a heartbeat after 500 ms of silence, however many other heartbeats were answered', () => {
    const liveness = new Liveness(15_000);
    for (let active = 1; active <= 5; active++) {
      const time = active * 15_000;
      liveness.onHeartbeatSent(active, time, false);
      checks(liveness, time, time + 40, { active: active + 1 });
      liveness.stopChecks();
    }
    expect(checks(liveness, 90_000, 90_500, { active: 6, callEvents: 1 })).toEqual([90_500]);
  });

  test('knows of an answer in the millisecond of the bytes before it', () => {
    const liveness = new Liveness(15_000);
    liveness.onHeartbeatSent(1, 1_000, false);
    liveness.onHeartbeatAnswered();
    expect(liveness.isHeartbeatPending).toBe(false);
    expect(checks(liveness, 1_600, 2_000, { active: 1 })).toEqual([]);
    expect(liveness.isOverdue).toBe(false);
    expect(checks(liveness, 2_020, 2_100, { active: 1 })).toEqual([2_100]);
    liveness.onHeartbeatSent(1, 2_100, true);
    checks(liveness, 2_120, 2_360, { active: 1 });
    expect(liveness.isOverdue).toBe(true);
    liveness.onHeartbeatAnswered();
    checks(liveness, 2_380, 2_380, { active: 1 });
    expect(liveness.isOverdue).toBe(false);
  });

  test.each([
    ['starts', 1],
    ['settles', 2],
  ])(
    'sends a heartbeat at once when a call %s after a long silence that only heartbeats broke',
    (_, events) => {
      const liveness = new Liveness(15_000);
      let active = 1;
      for (let time = 1_000; time < 20_000; time += 20)
        if (liveness.check({ active, callEvents: 0, time }))
          liveness.onHeartbeatSent(active++, time, true);
      expect(checks(liveness, 20_000, 20_040, { active })).toEqual([]);
      expect(liveness.check({ active, callEvents: events, time: 20_060 })).toBe(true);
    },
  );

  test('does not count time in which this process was suspended', () => {
    const liveness = new Liveness(15_000);
    checks(liveness, 1_000, 1_100, { active: 1 });
    liveness.onHeartbeatSent(1, 1_100, true);
    expect(liveness.check({ active: 1, callEvents: 0, time: 61_000 })).toBe(false);
    expect(liveness.isOverdue).toBe(false);
    expect(liveness.wasSuspendedSince(1_100)).toBe(true);
    expect(liveness.wasSuspendedSince(61_000)).toBe(false);
    checks(liveness, 61_020, 61_260, { active: 1 });
    expect(liveness.isOverdue).toBe(true);
  });
});

describe('a client whose server freezes', () => {
  noLeaks();

  test('reports that the server is not responsive, and that it is again', async () => {
    const Work = contract('Work', { wait: unary<void, string>() });
    await using server = await serve('tcp://127.0.0.1:0', [
      implement(Work, { wait: () => 'done' }),
    ]);
    const proxy = await TcpProxy.to({
      host: '127.0.0.1',
      port: Number(new URL(server.address).port),
    });
    try {
      const reports = new Inbox<boolean>('onResponsive');
      await using client = await connect(`tcp://127.0.0.1:${proxy.port}`, {
        onResponsive: (responsive) => reports.push(responsive),
      });
      expect(await reports.next()).toBe(true);
      proxy.hold();
      const answer = client.stub(Work).wait(undefined, { timeout: 60_000 });
      const other = client.stub(Work).wait(undefined, { timeout: 60_000 });
      expect(await reports.next()).toBe(false);
      proxy.release();
      expect(await reports.next()).toBe(true);
      expect([await answer, await other]).toEqual(['done', 'done']);
    } finally {
      await proxy.close();
    }
  });
});

describe('a client whose first heartbeat is answered in the millisecond in which it was sent', () => {
  noLeaks();
  afterEach(() => void vi.useRealTimers());

  test('does not take its server for unresponsive during the next call', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    vi.advanceTimersByTime(1_000);
    const Work = contract('Work', { wait: unary<void, string>() });
    const release = gate<string>();
    const work = implement(Work, { wait: () => release.promise });
    await using server = await serve(freeMemoryAddress(), [work]);
    const reports: boolean[] = [];
    await using client = await connect(server.address, {
      connections: 1,
      onResponsive: (responsive) => reports.push(responsive),
    });
    await until(() => [...client.channels][0]?.extended === true, 'the heartbeat is answered');
    vi.advanceTimersByTime(600);
    const answer = client.stub(Work).wait(undefined, { timeout: 60_000 });
    // Long enough for some checks.
    await elapse(100);
    release.open('done');
    expect(await answer).toBe('done');
    expect(reports).toEqual([true]);
  });
});
