/** How the health of one node goes from phase to phase. */
import { describe, expect, it } from 'vitest';
import {
  type EjectionOptions,
  type EjectionSettings,
  NodeHealth,
  resolveEjection,
} from '../../../src/micro/nodes/health.js';
import { type RpcCode, RpcError } from '../../../src/rpc/errors.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';

function health(options: EjectionOptions = {}, mayEject = true): NodeHealth {
  return new NodeHealth(resolveEjection(options) as EjectionSettings, {
    mayEject: () => mayEject,
    ejected() {},
    changed() {},
  });
}

const failure = (code: RpcCode, unsent = false): RpcError => new RpcError(code, code, { unsent });
const lost = failure('UNAVAILABLE');

describe('the health of a node', () => {
  fakeTime();

  it('out after failures in a row, due after a time, probed by the next call, in when that succeeds', async () => {
    const node = health({ failures: 3 });
    for (const error of [lost, lost, undefined, lost, lost]) node.end(error);
    expect(node.phase).toBe('in');
    node.end(failure('DEADLINE_EXCEEDED'));
    expect([node.phase, node.failures, node.restsFor]).toEqual(['out', 3, 1000]);
    // A call from before is answered: the rest is not cut short by it.
    node.end(undefined);
    await pass(999);
    expect(node.phase).toBe('out');
    await pass(1);
    expect(node.phase).toBe('due');
    node.begin();
    expect(node.phase).toBe('probed');
    node.end(undefined);
    expect(node.phase).toBe('in');
  });

  it('rests for twice as long each time, up to maxTime, and begins anew when it was good for that long', async () => {
    const node = health({ failures: 1, time: 100, maxTime: 500 });
    const rests: number[] = [];
    const fail = async (): Promise<void> => {
      node.begin();
      node.end(lost);
      rests.push(node.restsFor);
      await pass(node.restsFor);
      expect(node.phase).toBe('due');
    };
    for (let i = 0; i < 5; i++) await fail();
    expect(rests).toEqual([100, 200, 400, 500, 500]);
    node.begin();
    node.end(undefined);
    await pass(400);
    await fail();
    node.begin();
    node.end(undefined);
    await pass(501);
    await fail();
    expect(rests.slice(5)).toEqual([500, 100]);
  });

  it.each<[string, (node: NodeHealth) => void]>([
    ['the caller gave up', (node) => node.end(failure('CANCELLED'))],
    ['there was no connection', (node) => node.end(failure('UNAVAILABLE', true))],
    ['nobody knows how it ended', (node) => node.unknown()],
  ])('a call tells nothing when %s', async (_, end) => {
    const node = health({ failures: 1 });
    for (let i = 0; i < 10; i++) end(node);
    expect([node.phase, node.failures]).toEqual(['in', 0]);
    node.end(lost);
    await pass(1000);
    node.begin();
    end(node);
    expect(node.phase).toBe('due');
    node.forget();
  });

  it('a node that is overtaken in every call is left out as one that fails', () => {
    const node = health({ failures: 3 });
    node.overtaken();
    node.end(undefined);
    for (let i = 0; i < 3; i++) node.overtaken();
    expect(node.phase).toBe('out');
    node.forget();
  });

  it('a probe that goes on for very long is not waited for', async () => {
    const node = health({ failures: 1 });
    node.end(lost);
    await pass(1000);
    node.begin();
    await pass(1000);
    expect(node.phase).toBe('due');
  });

  it('stays in when too many are out, and when its errors are answers', () => {
    const crowded = health({ failures: 1 }, false);
    crowded.end(lost);
    expect(crowded.phase).toBe('in');
    const node = health({ failures: 1, codes: ['INTERNAL'] });
    for (const error of [lost, failure('NOT_FOUND'), new Error('x'), null, 'x']) node.end(error);
    expect(node.phase).toBe('in');
    node.end(failure('INTERNAL'));
    expect(node.phase).toBe('out');
    node.forget();
  });

  it('leaves no timer once it is forgotten, whatever ends later', () => {
    const node = health({ failures: 1 });
    node.forget();
    node.end(lost);
  });
});
