/** The load that a consumer measures for one node. */
import { expect, it } from 'vitest';
import { NodeState } from '../../../src/micro/nodes/node-state.js';
import { type RpcCode, RpcError } from '../../../src/rpc/errors.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';

fakeTime();

function state(): NodeState {
  return new NodeState(Number.NEGATIVE_INFINITY, undefined);
}

function call(node: NodeState, error?: unknown): void {
  node.onCallStart(false);
  node.onCallEnd(1, error);
}

it.each<RpcCode>([
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'RESOURCE_EXHAUSTED',
  'INTERNAL',
  'UNKNOWN',
  'UNIMPLEMENTED',
])('%s raises the failure rate', (code) => {
  const node = state();
  call(node, new RpcError(code, code));
  expect(node.failureRate).toBeGreaterThan(0);
});

it.each<RpcCode>([
  'NOT_FOUND',
  'INVALID_ARGUMENT',
  'PERMISSION_DENIED',
  'UNAUTHENTICATED',
  'CANCELLED',
])('%s does not raise the failure rate', (code) => {
  const node = state();
  call(node, new RpcError(code, code));
  expect(node.failureRate).toBe(0);
});

it.each<RpcCode>(['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED'])(
  'a call that was never sent changes neither failure rate nor latency: %s',
  (code) => {
    const node = state();
    call(node, new RpcError(code, code, { unsent: true }));
    expect([node.inFlight, node.failureRate, node.latency]).toEqual([0, 0, 0]);
    call(node, new RpcError(code, code, { unsent: true, reason: 'refused' }));
    expect(node.failureRate).toBeGreaterThan(0);
  },
);

it('a stream changes no latency, and its timeout changes no failure rate', () => {
  const node = state();
  const stream = (error?: unknown): void => {
    node.onCallStart(true);
    expect([node.inFlight, node.streams]).toEqual([1, 1]);
    node.onStreamEnd(error);
    expect([node.inFlight, node.streams, node.latency]).toEqual([0, 0, 0]);
  };
  stream();
  stream(new RpcError('DEADLINE_EXCEEDED', 'the usual end of a watch'));
  expect(node.failureRate).toBe(0);
  stream(new RpcError('UNKNOWN', 'the database is down'));
  expect(node.failureRate).toBeGreaterThan(0);
});

it('the failure rate approaches the part of calls that fail', () => {
  const node = state();
  for (let i = 0; i < 400; i++)
    call(node, i % 2 === 0 ? new RpcError('INTERNAL', 'no') : undefined);
  expect(node.failureRate).toBeCloseTo(0.5, 1);
  for (let i = 0; i < 400; i++) call(node);
  expect(node.failureRate).toBe(0);
});

it('the failure rate falls while there are no calls', async () => {
  const node = state();
  for (let i = 0; i < 100; i++) call(node, new RpcError('INTERNAL', 'no'));
  expect(node.failureRate).toBeGreaterThan(0.9);
  await pass(20_000);
  expect(node.failureRate).toBeLessThan(0.001);
});
