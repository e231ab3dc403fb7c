/**
 * Each callback of the public types, with each way in which it can fail. The process continues, the
 * failure is reported once, and other sessions and calls are not affected.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { messageOf } from '../../src/core/errors.js';
import { noLeaks } from '../fixtures/leaks.js';
import { publicTypes } from '../fixtures/public-types.js';
import { turns } from '../fixtures/waiting.js';
import { ADAPTER_ROWS } from './callback-rows/adapter-rows.js';
import { FAILURES, type FailingCallback } from './callback-rows/failures.js';
import { INTERCEPTOR_ROWS } from './callback-rows/interceptor-rows.js';
import { MICRO_ROWS } from './callback-rows/micro-rows.js';
import { Reports } from './callback-rows/reports.js';
import type { Row, Rows } from './callback-rows/row.js';
import { RPC_ROWS } from './callback-rows/rpc-rows.js';
import { TRANSPORT_ROWS } from './callback-rows/transport-rows.js';

const LAYERS: readonly Rows[] = [
  TRANSPORT_ROWS,
  RPC_ROWS,
  INTERCEPTOR_ROWS,
  MICRO_ROWS,
  ADAPTER_ROWS,
];
const ROWS: ReadonlyMap<string, Row> = new Map(LAYERS.flatMap((rows) => Object.entries(rows)));

/** Callbacks without a row, each with the reason. */
const WITHOUT_ROW: Readonly<Record<string, string>> = {
  'AddressRules.check': 'a failure refuses the peer: see test/transport/proxies/peer-lists.test.ts',
  'WatchOptions.watch': 'it needs a ZooKeeper server: see test/registries/zookeeper/client.test.ts',
  Watcher: 'the type of WatchOptions.watch',
  'AdaptiveLimitOptions.onLimit':
    'it is called after some time: see test/rpc/interceptors/adaptive-limit.test.ts',
  AttemptStrategy: 'a Strategy',
  'CallHandlerOptions.interceptors': 'passed on as RpcOptions.interceptors',
  'CodecCasesOptions.equals': 'the test that runs the case gets its error',
  'CodecCasesOptions.isProtocolError': 'the test that runs the case gets its error',
  NodeFilter: 'the test that gives it gets its error',
  'SimulationOptions.onTrace':
    'its failure is that of the simulation: see test/testing/simulation/simulate.test.ts',
  'MessageEndpoint.postMessage':
    'serve() and connect() reject with its error: see test/transport/port/port-handshake.test.ts',
};

/** Objects that the package makes. A user calls their functions, and provides none. */
const MADE_BY_THE_PACKAGE = [
  'Attempt',
  'AttributeMap',
  'Call',
  'Channel',
  'Client',
  'Clock',
  'Consumer',
  'Endpoint',
  'FaultProxy',
  'HandlerReplies',
  'Host',
  'LatencyStatistics',
  'MessageCodec',
  'MockStub',
  'NodeAccess',
  'Network',
  'Provider',
  'Random',
  'RpcClient',
  'RpcMetrics',
  'RpcServer',
  'Server',
  'Session',
  'Simulation',
  'StaticRegistry',
  'TestCase',
  'TestRegistry',
  'compose(invoke)',
  'makeStub(contract)',
  'makeStub(invoke)',
  'mapCodec(codec)',
];

noLeaks();

let reports = new Reports();
const uncaught: unknown[] = [];
const onUncaught = (error: unknown): void => void uncaught.push(error);
const onWarning = (warning: Error): void => reports.add('warning', warning);

// vitest has its own listeners for these events. They would fail the run.
const EVENTS = ['unhandledRejection', 'uncaughtException'] as const;
const listenersOfVitest = new Map<string, ((...args: unknown[]) => void)[]>();

beforeAll(() => {
  for (const event of EVENTS) {
    listenersOfVitest.set(event, process.listeners(event as 'unhandledRejection') as never);
    process.removeAllListeners(event);
    process.on(event, onUncaught);
  }
  process.on('warning', onWarning);
});

afterAll(() => {
  process.off('warning', onWarning);
  for (const event of EVENTS) {
    process.off(event, onUncaught);
    for (const listener of listenersOfVitest.get(event) ?? []) process.on(event, listener);
  }
});

/** `Handlers` for `Handlers (unary)`. */
const callbackOf = (row: string): string => row.replace(/ \(.*\)$/, '');

test('each callback of the public types has a row', () => {
  const { members, functions, parameters } = publicTypes();
  const callbacks = [...members, ...functions, ...parameters].filter(
    (name) =>
      !MADE_BY_THE_PACKAGE.includes(name) &&
      !MADE_BY_THE_PACKAGE.includes(name.split('.')[0] as string),
  );
  const known = new Set([...[...ROWS.keys()].map(callbackOf), ...Object.keys(WITHOUT_ROW)]);
  expect(callbacks.length).toBeGreaterThan(50);
  expect(callbacks.filter((name) => !known.has(name))).toEqual([]);
});

test('no two layers have a row of the same name', () => {
  expect(ROWS.size).toBe(LAYERS.reduce((sum, rows) => sum + Object.keys(rows).length, 0));
});

describe.each([...ROWS.keys()])('%s', (name) => {
  test.each(Object.keys(FAILURES))('is reported once if it %s', async (failure) => {
    reports = new Reports();
    uncaught.length = 0;
    await (ROWS.get(name) as Row)(FAILURES[failure] as FailingCallback, reports);
    // An unhandled rejection is known one turn later.
    await turns(5);
    expect(uncaught.map(messageOf)).toEqual([]);
    expect(reports.all).toHaveLength(1);
  });
});
