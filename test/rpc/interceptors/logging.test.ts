/** logging(): one line for each call, and the details that it has. */
import { expect, test } from 'vitest';
import {
  type Call,
  contract,
  implement,
  LOGGING_DEFAULTS,
  type LoggingOptions,
  logging,
  RpcError,
  unary,
} from '../../../src/rpc/index.js';
import { clientCall, collect, receivedCall, Source, scripted } from '../../fixtures/calls.js';
import { freeMemoryAddress, outcome, rig } from '../../fixtures/rpc.js';
import { thrown } from '../../fixtures/transports.js';
import { gate, until } from '../../fixtures/waiting.js';
import { recordWarnings } from './warnings.js';

type Line = [level: 'info' | 'warn', details: object, message: string];

/** A clock that each call advances by `takes`, and all lines. */
function invokeWithLog(
  takes: number,
  options: Partial<LoggingOptions> = {},
  ...outcomes: unknown[]
) {
  let now = 1_000;
  const lines: Line[] = [];
  const logger: LoggingOptions['logger'] = {
    info: (details, message) => lines.push(['info', details, message]),
    warn: (details, message) => lines.push(['warn', details, message]),
  };
  const { invoke } = scripted(...(outcomes.length === 0 ? ['done'] : outcomes));
  const logged = logging({ logger, now: () => now, ...options })(async (call) => {
    now += takes;
    return invoke(call);
  });
  const clock = { pass: (ms: number) => (now += ms) };
  return { lines, invoke: (call: Call) => outcome(logged(call)), logged, clock };
}

test.each<[string, unknown]>([
  ['options of logging()', undefined],
  ['options of logging()', null],
  ['logger', {}],
  ['logger', { logger: { info() {} } }],
  ['slow', { logger: console, slow: -1 }],
  ['all', { logger: console, all: 'yes' }],
  ['details', { logger: console, details: {} }],
  ['now', { logger: console, now: 1 }],
])('throws BAD_OPTION for a wrong %s: %j', (name, options) => {
  const error = thrown(() => logging(options as LoggingOptions));
  expect(error).toMatchObject({ code: 'BAD_OPTION' });
  expect(error.message.startsWith(`${name}: got `)).toBe(true);
});

test('logs method, peer, outcome and duration', async () => {
  const { lines, invoke } = invokeWithLog(
    12.34567,
    {},
    'done',
    new RpcError('NOT_FOUND', 'the secret is not here', { metadata: { token: 'secret' } }),
  );
  await invoke(clientCall({ input: 'secret' }));
  await invoke(receivedCall({ input: 'secret', peer: 'tcp://127.0.0.1:50100' }));
  expect(lines).toEqual([
    [
      'info',
      { service: 'Service', method: 'ask', peer: undefined, code: 'OK', ms: 12.346 },
      'Service.ask done, 12.346 ms',
    ],
    [
      'warn',
      {
        service: 'Service',
        method: 'ask',
        peer: 'tcp://127.0.0.1:50100',
        code: 'NOT_FOUND',
        ms: 12.346,
      },
      'Service.ask failed: NOT_FOUND, 12.346 ms',
    ],
  ]);
  expect(JSON.stringify(lines)).not.toContain('secret');
});

test('logs a slow call as a warning', async () => {
  for (const [takes, options, level] of [
    [LOGGING_DEFAULTS.slow - 1, {}, 'info'],
    [LOGGING_DEFAULTS.slow, {}, 'warn'],
    [10, { slow: 10 }, 'warn'],
    [1e9, { slow: Number.POSITIVE_INFINITY }, 'info'],
  ] as const) {
    const { lines, invoke } = invokeWithLog(takes, options);
    await invoke(clientCall());
    expect(lines.map(([given, , message]) => [given, message.includes('slow')])).toEqual([
      [level, level === 'warn'],
    ]);
  }
});

test('logs slow and failed calls only when `all` is false', async () => {
  const quick = invokeWithLog(1, { all: false }, 'done', new Error('not an RpcError'));
  expect([await quick.invoke(clientCall()), quick.lines]).toEqual(['ok', []]);
  await quick.invoke(clientCall());
  expect(quick.lines).toMatchObject([
    ['warn', { code: 'UNKNOWN' }, 'Service.ask failed: UNKNOWN, 1 ms'],
  ]);
  const slow = invokeWithLog(5_000, { all: false });
  await slow.invoke(clientCall());
  expect(slow.lines).toMatchObject([
    ['warn', { code: 'OK', ms: 5_000 }, 'Service.ask was slow, 5000 ms'],
  ]);
});

test('adds the fields of `details` to the line', async () => {
  const details: LoggingOptions['details'] = ({ input }, error) => ({
    input,
    because: error?.message,
  });
  const { lines, invoke } = invokeWithLog(1, { details }, new RpcError('ABORTED', 'a conflict'));
  await invoke(clientCall({ input: 5 }));
  expect(lines).toMatchObject([
    [
      'warn',
      { method: 'ask', code: 'ABORTED', input: 5, because: 'a conflict' },
      'Service.ask failed: ABORTED, 1 ms',
    ],
  ]);
});

test('logs a stream when it ends, in every way to end', async () => {
  for (const [source, code] of [
    [new Source(1, 2), 'OK'],
    [new Source(1, new RpcError('DATA_LOSS', 'broken')), 'DATA_LOSS'],
  ] as const) {
    const { lines, logged, clock } = invokeWithLog(5, {}, source);
    const stream = await logged(clientCall({ kind: 'serverStream' }));
    clock.pass(100);
    expect(lines).toEqual([]);
    await outcome(collect(stream));
    expect(lines.map(([, line]) => line)).toMatchObject([{ code, ms: 105 }]);
  }
});

test('warns when the logger fails, and completes the call', async () => {
  const warnings = recordWarnings();
  const details = (): never => {
    throw new Error('a faulty function');
  };
  expect(await invokeWithLog(1, { details }).invoke(clientCall())).toBe('ok');
  expect(warnings).toMatchObject([
    { code: 'HANDLER_FAILED', message: 'the logger failed: a faulty function' },
  ]);
});

test('warns when `details` returns no object, and completes the call', async () => {
  const warnings = recordWarnings();
  const details = () => 'a text' as unknown as object;
  expect(await invokeWithLog(1, { details }).invoke(clientCall())).toBe('ok');
  expect(warnings).toMatchObject([
    { message: expect.stringContaining('the result of details: got "a text", expected an object') },
  ]);
});

test('a call of a server that its caller cancelled is no warning', async () => {
  const lines: string[] = [];
  const logger = {
    info: (_: object, message: string) => lines.push(`info ${message.replace(/, .*/, '')}`),
    warn: (_: object, message: string) => lines.push(`warn ${message.replace(/, .*/, '')}`),
  };
  const Work = contract('Work', { wait: unary<void, void>(), fail: unary<void, void>() });
  const started = gate<void>();
  const service = implement(Work, {
    wait: (_, { signal }) => {
      started.open();
      return new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason)),
      );
    },
    fail() {
      throw new RpcError('CANCELLED', 'by the handler itself');
    },
  });
  const interceptors = [logging({ logger })];
  await using pair = await rig({
    address: freeMemoryAddress(),
    services: [service],
    server: { interceptors },
  });
  const stub = pair.client.stub(Work);
  expect(await outcome(stub.fail())).toBe('CANCELLED');
  const cancel = new AbortController();
  const call = outcome(stub.wait(undefined, { signal: cancel.signal }));
  await started.promise;
  cancel.abort();
  expect(await call).toBe('CANCELLED');
  await until(() => lines.length === 2, 'both lines are logged');
  expect(lines).toEqual(['warn Work.fail failed: CANCELLED', 'info Work.wait failed: CANCELLED']);
});
