/** What is wrong with the calls that a server has served, and with its sessions. */
import { describe, expect, test } from 'vitest';
import { checkFailures, checkQueues } from '../../../src/cli/doctor/traffic-checks.js';
import type { MethodReport, RpcCode, SessionReport } from '../../../src/rpc/index.js';

function report(
  succeeded: number,
  failed: Partial<Record<RpcCode, number>>,
  given: Partial<MethodReport> = {},
): MethodReport {
  return {
    service: 'Shop',
    version: 'v1',
    method: 'pay',
    started: 0,
    succeeded,
    failed,
    inFlight: 0,
    bytesSent: 0,
    bytesReceived: 0,
    latency: { count: 0, sum: 0, mean: 0, p50: 0, p90: 0, p99: 0, max: 0 },
    ...given,
  };
}

describe('checkFailures()', () => {
  test('names the method, the share and the codes, the most frequent first', () => {
    const since = Date.now() - 720_500;
    const counts = { NOT_FOUND: 10, UNAVAILABLE: 1, INTERNAL: 23 };
    expect(checkFailures([report(66, counts)], since)).toEqual([
      {
        status: 'warning',
        name: 'calls',
        detail:
          '24.0 % of 100 calls of Shop/pay v1 have failed within 12m: INTERNAL 23, UNAVAILABLE 1',
        advice: expect.stringContaining('`getty top`'),
      },
    ]);
  });

  test.each<RpcCode>([
    'INTERNAL',
    'UNKNOWN',
    'UNAVAILABLE',
    'RESOURCE_EXHAUSTED',
    'DEADLINE_EXCEEDED',
    'DATA_LOSS',
    'ABORTED',
    'FAILED_PRECONDITION',
  ])('counts %s', (code) => {
    expect(checkFailures([report(94, { [code]: 6 })], 0)).toHaveLength(1);
  });

  test.each<[string, MethodReport]>([
    ['a share of 5 %', report(95, { INTERNAL: 5 })],
    ['fewer than 100 calls', report(0, { INTERNAL: 99 })],
    ['no calls', report(0, {})],
    ['a service of getty itself', report(0, { INTERNAL: 999 }, { service: 'getty.Admin' })],
    [
      'mistakes of callers',
      report(0, {
        NOT_FOUND: 100,
        INVALID_ARGUMENT: 100,
        ALREADY_EXISTS: 100,
        UNAUTHENTICATED: 100,
        PERMISSION_DENIED: 100,
        OUT_OF_RANGE: 100,
        UNIMPLEMENTED: 100,
        CANCELLED: 100,
      }),
    ],
  ])('accepts %s', (_, method) => {
    expect(checkFailures([method], 0)).toEqual([]);
  });

  test('names 20 methods, the worst first, and counts the others', () => {
    const methods = Array.from({ length: 22 }, (_, at) =>
      report(100, { INTERNAL: 10 + at }, { method: `m${at}` }),
    );
    const details = checkFailures(methods, 0).map(({ detail }) => detail);
    expect(details).toHaveLength(21);
    expect(details[0]).toContain('Shop/m21 ');
    expect(details.at(-1)).toBe('so do those of 2 more methods');
  });
});

describe('checkQueues()', () => {
  const session = (peer: string, queuedBytes: number): SessionReport => ({
    id: peer,
    peer,
    extended: true,
    age: 1,
    bytesRead: 0,
    bytesWritten: 0,
    queuedBytes,
    pending: 0,
    serving: 0,
    calls: { started: 0, succeeded: 0, failed: 0 },
    served: { started: 0, succeeded: 0, failed: 0 },
  });

  test('accepts 64 KiB', () => {
    expect(checkQueues([session('a', 2 ** 16)])).toEqual([]);
  });

  test('names the sessions with more, three at most', () => {
    const one = checkQueues([session('tcp://10.0.0.1:5', 499_712), session('b', 0)]);
    expect(one).toMatchObject([
      {
        status: 'warning',
        name: 'sessions',
        detail: '1 session has more than 64 KiB queued: tcp://10.0.0.1:5 (488 KiB)',
      },
    ]);
    const many = checkQueues(['a', 'b', 'c', 'd'].map((peer) => session(peer, 2 ** 20)));
    expect(many[0]?.detail).toBe(
      '4 sessions have more than 64 KiB queued: a (1.0 MiB), b (1.0 MiB), c (1.0 MiB) …',
    );
  });
});
