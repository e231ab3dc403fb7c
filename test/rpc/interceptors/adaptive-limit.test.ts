/**
 * adaptiveLimit(): which calls wait and are refused. How the limit follows latencies: see
 * latency-gradient.test.ts, and test/simulation/fleets.test.ts for a server.
 */
import { describe, expect, it, test } from 'vitest';
import { pause as pauseFor } from '../../../src/core/timers.js';
import {
  type AdaptiveLimitOptions,
  adaptiveLimit,
  type Call,
  Introspection,
} from '../../../src/rpc/index.js';
import { Calls, clientCall } from '../../fixtures/calls.js';
import { fakeTime, pass } from '../../fixtures/fake-time.js';
import { outcome } from '../../fixtures/rpc.js';
import { rejection, thrown } from '../../fixtures/transports.js';

fakeTime();

/** A limit that stays 1. */
const FIXED = { initialLimit: 1, maxLimit: 1 };

const withPriority = (input: unknown, priority?: string): Call =>
  clientCall({ input }).with({ metadata: priority === undefined ? {} : { priority } });

test.each<[string, unknown]>([
  ['initialLimit', { initialLimit: 0 }],
  ['minLimit', { minLimit: 1.5 }],
  ['minLimit', { minLimit: 10, maxLimit: 5 }],
  ['maxLimit', { maxLimit: 2 ** 32 }],
  ['tolerance', { tolerance: 0.9 }],
  ['queue', { queue: -1 }],
  ['queueTimeout', { queueTimeout: 0 }],
  ['priority', { priority: 5 }],
  ['onLimit', { onLimit: 'no' }],
  ['options of .*', null],
])('throws BAD_OPTION for a wrong %s: %j', (name, options) => {
  const error = thrown(() => adaptiveLimit(options as AdaptiveLimitOptions));
  expect(error).toMatchObject({ code: 'BAD_OPTION' });
  expect(error.message).toMatch(new RegExp(`^${name}: got `));
});

test('names the nearest option for an unknown one', () => {
  const error = thrown(() => adaptiveLimit({ maxLimits: 5 } as AdaptiveLimitOptions));
  expect(error.message).toBe(
    'maxLimits is not an option of adaptiveLimit(); did you mean maxLimit?',
  );
});

describe('waiting calls', () => {
  it('go in the order of their priority, and of their arrival', async () => {
    const calls = new Calls();
    const invoke = adaptiveLimit(FIXED)(calls.invoke);
    const first = invoke(withPriority('first'));
    const answers = [
      ['usual 1', undefined],
      ['low', '2'],
      ['high 1', '9'],
      ['usual 2', '5'],
      ['high 2', '9'],
      ['no digit', 'urgent'],
      ['two digits', '10'],
    ].map(([input, priority]) => invoke(withPriority(input, priority)));
    calls.open(0);
    await first;
    for (let i = 1; i <= answers.length; i++) {
      while (calls.inputs.length <= i) await pass(0);
      calls.open(i);
    }
    await Promise.all(answers);
    expect(calls.inputs.slice(1)).toEqual([
      'high 1',
      'high 2',
      'usual 1',
      'usual 2',
      'no digit',
      'two digits',
      'low',
    ]);
  });

  it('are refused when the queue is full: the lowest priority first, and the newest of it', async () => {
    const calls = new Calls();
    const invoke = adaptiveLimit({ ...FIXED, queue: 3 })(calls.invoke);
    const outcomes: Record<string, string> = {};
    const call = (input: string, priority: string): void => {
      void outcome(invoke(withPriority(input, priority))).then((text) => {
        outcomes[input] = String(text);
      });
    };
    call('running', '0');
    for (const [input, priority] of [
      ['low 1', '3'],
      ['low 2', '3'],
      ['usual', '5'],
      ['low 3', '3'],
    ] as const)
      call(input, priority);
    await pass(0);
    expect(outcomes).toEqual({ 'low 3': 'RESOURCE_EXHAUSTED' });
    call('high 1', '9');
    await pass(0);
    expect(Object.keys(outcomes)).toEqual(['low 3', 'low 2']);
    call('high 2', '9');
    call('high 3', '9');
    call('high 4', '9');
    await pass(0);
    expect(Object.keys(outcomes).sort()).toEqual(['high 4', 'low 1', 'low 2', 'low 3', 'usual']);
    for (let i = 0; i < 4; i++) {
      while (calls.inputs.length <= i) await pass(0);
      calls.open(i);
    }
    await pass(0);
    expect(calls.inputs).toEqual(['running', 'high 1', 'high 2', 'high 3']);
  });

  it('are refused with the reason and `unsent`', async () => {
    const calls = new Calls();
    const invoke = adaptiveLimit({ ...FIXED, queue: 1 })(calls.invoke);
    const running = invoke(clientCall());
    const low = rejection(invoke(withPriority('low', '0')));
    await pass(7);
    const high = invoke(withPriority('high', '9'));
    const refused = await rejection(invoke(clientCall()));
    expect(refused).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: 'Service.ask was refused: 1 calls are in flight and 1 wait',
      unsent: true,
    });
    expect(await low).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message:
        'Service.ask waited 7 ms and was refused: a call with a higher priority took its place',
      unsent: true,
    });
    calls.open(0);
    await running;
    while (calls.inputs.length < 2) await pass(0);
    calls.open(1);
    await high;
  });

  it('wait for `queueTimeout`', async () => {
    const calls = new Calls();
    const invoke = adaptiveLimit({ ...FIXED, queueTimeout: 30 })(calls.invoke);
    const running = invoke(clientCall());
    const waiting = rejection(invoke(clientCall()));
    await pass(30);
    expect(await waiting).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: 'Service.ask waited 30 ms in the queue',
      unsent: true,
    });
    calls.open(0);
    await running;
  });

  it('have the priority that the option returns, in its range', async () => {
    const calls = new Calls();
    const priorities: Record<string, number> = { a: -5, b: 99, c: Number.NaN, d: 6.4 };
    const invoke = adaptiveLimit({
      ...FIXED,
      priority: ({ input }) => priorities[`${input}`] ?? 0,
    })(calls.invoke);
    const answers = ['first', 'a', 'b', 'c', 'd'].map((input) => invoke(clientCall({ input })));
    for (let i = 0; i < answers.length; i++) {
      while (calls.inputs.length <= i) await pass(0);
      calls.open(i);
    }
    await Promise.all(answers);
    expect(calls.inputs).toEqual(['first', 'b', 'd', 'c', 'a']);
  });
});

describe('calls that do not count', () => {
  it('are those of the introspection service: 4 of them may be in flight besides', async () => {
    const calls = new Calls();
    const invoke = adaptiveLimit({ ...FIXED, queue: 0 })(calls.invoke);
    const service = Introspection.name;
    const answers = [
      invoke(clientCall()),
      ...[1, 2, 3, 4].map(() => invoke(clientCall({ service }))),
    ];
    expect(calls.inputs).toHaveLength(5);
    expect(await outcome(invoke(clientCall({ service })))).toBe('RESOURCE_EXHAUSTED');
    expect(await outcome(invoke(clientCall()))).toBe('RESOURCE_EXHAUSTED');
    for (let i = 0; i < 5; i++) calls.open(i);
    await Promise.all(answers);
  });

  it.each(['serverStream', 'clientStream', 'duplex'] as const)(
    'are those of the kind %s',
    async (kind) => {
      const calls = new Calls();
      const invoke = adaptiveLimit({ ...FIXED, queue: 0 })(calls.invoke);
      const answers = [1, 2, 3].map(() => invoke(clientCall({ kind })));
      expect(calls.inputs).toHaveLength(3);
      for (let i = 0; i < 3; i++) calls.open(i);
      await Promise.all(answers);
    },
  );
});

test('`onLimit` gets the limit when it changes, and its failure is a warning', async () => {
  const limits: number[] = [];
  const onLimit = (limit: number): never => {
    limits.push(limit);
    throw new Error('no');
  };
  const warning = new Promise((resolve) => void process.once('warning', resolve));
  const invoke = adaptiveLimit({ initialLimit: 4, onLimit })(async () => {
    await pauseFor(10, undefined);
  });
  for (let i = 0; i < 60; i++) {
    const calls = Array.from({ length: 4 }, () => invoke(clientCall()));
    await pass(10);
    await Promise.all(calls);
  }
  expect(limits).toContain(5);
  expect(await warning).toMatchObject({ code: 'HANDLER_FAILED', message: 'onLimit failed: no' });
});
