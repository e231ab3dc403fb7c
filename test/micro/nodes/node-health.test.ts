/** The phases of the health of one node. */
import { describe, expect, it } from 'vitest';
import {
  type EjectionOptions,
  type EjectionSettings,
  NodeHealth,
  resolveEjection,
} from '../../../src/micro/nodes/node-health.js';
import { type RpcCode, RpcError } from '../../../src/rpc/errors.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';

function health(options: EjectionOptions = {}, canEject = true): NodeHealth {
  return new NodeHealth(resolveEjection(options) as EjectionSettings, {
    canEject: () => canEject,
    onEject() {},
    onPhaseChange() {},
  });
}

const failure = (code: RpcCode, unsent = false): RpcError => new RpcError(code, code, { unsent });
const lost = failure('UNAVAILABLE');

describe('NodeHealth', () => {
  fakeTime();

  it('is ejected after failures in a row, and healthy again when the probe succeeds', async () => {
    const node = health({ failures: 3 });
    for (const error of [lost, lost, undefined, lost, lost]) node.onCallEnd(error);
    expect(node.phase).toBe('healthy');
    node.onCallEnd(failure('DEADLINE_EXCEEDED'));
    expect([node.phase, node.failures, node.ejectionTimeLeft]).toEqual(['ejected', 3, 1000]);
    // A call that began before the ejection does not end it.
    node.onCallEnd(undefined);
    await pass(999);
    expect(node.phase).toBe('ejected');
    await pass(1);
    expect(node.phase).toBe('probe-due');
    node.onCallStart();
    expect(node.phase).toBe('probing');
    node.onCallEnd(undefined);
    expect(node.phase).toBe('healthy');
  });

  it('doubles the ejection time up to maxTime, and starts again with `time` after maxTime without ejection', async () => {
    const node = health({ failures: 1, time: 100, maxTime: 500 });
    const ejectionTimes: number[] = [];
    const fail = async (): Promise<void> => {
      node.onCallStart();
      node.onCallEnd(lost);
      ejectionTimes.push(node.ejectionTimeLeft);
      await pass(node.ejectionTimeLeft);
      expect(node.phase).toBe('probe-due');
    };
    for (let i = 0; i < 5; i++) await fail();
    expect(ejectionTimes).toEqual([100, 200, 400, 500, 500]);
    node.onCallStart();
    node.onCallEnd(undefined);
    await pass(400);
    await fail();
    node.onCallStart();
    node.onCallEnd(undefined);
    await pass(501);
    await fail();
    expect(ejectionTimes.slice(5)).toEqual([500, 100]);
  });

  it.each<[string, (node: NodeHealth) => void]>([
    ['the caller cancels it', (node) => node.onCallEnd(failure('CANCELLED'))],
    ['it finds no connection', (node) => node.onCallEnd(failure('UNAVAILABLE', true))],
    [
      'its timeout passed before it was sent',
      (node) => node.onCallEnd(failure('DEADLINE_EXCEEDED', true)),
    ],
    ['its outcome is unknown', (node) => node.onUnknownOutcome()],
  ])('does not count a call as failed or successful when %s', async (_, end) => {
    const node = health({ failures: 1 });
    for (let i = 0; i < 10; i++) end(node);
    expect([node.phase, node.failures]).toEqual(['healthy', 0]);
    node.onCallEnd(lost);
    await pass(1000);
    node.onCallStart();
    end(node);
    expect(node.phase).toBe('probe-due');
    node.dispose();
  });

  it('ejects a node that is overtaken in several calls in a row', () => {
    const node = health({ failures: 3 });
    node.onOvertaken();
    node.onCallEnd(undefined);
    for (let i = 0; i < 3; i++) node.onOvertaken();
    expect(node.phase).toBe('ejected');
    node.dispose();
  });

  it('makes another probe due when a probe takes longer than the ejection time', async () => {
    const node = health({ failures: 1 });
    node.onCallEnd(lost);
    await pass(1000);
    node.onCallStart();
    await pass(1000);
    expect(node.phase).toBe('probe-due');
  });

  it('stays healthy when no more nodes may be ejected, and after errors of other codes', () => {
    const crowded = health({ failures: 1 }, false);
    crowded.onCallEnd(lost);
    expect(crowded.phase).toBe('healthy');
    const node = health({ failures: 1, codes: ['INTERNAL'] });
    for (const error of [lost, failure('NOT_FOUND'), new Error('x'), null, 'x'])
      node.onCallEnd(error);
    expect(node.phase).toBe('healthy');
    node.onCallEnd(failure('INTERNAL'));
    expect(node.phase).toBe('ejected');
    node.dispose();
  });

  it('starts no timer after dispose(), when a call ends later', () => {
    const node = health({ failures: 1 });
    node.dispose();
    node.onCallEnd(lost);
  });
});
