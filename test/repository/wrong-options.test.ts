/**
 * Every function that takes options refuses what is no object of options, and a fraction where a
 * count is expected, with BAD_OPTION. The message names the option.
 */
import { describe, expect, test } from 'vitest';
import * as rpc from '../../src/rpc/index.js';
import { connect, RefusedError, serve } from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { DECLARED_OPTIONS } from './declared-options.js';
import {
  connections,
  FREE,
  FUNCTIONS_WITH_OPTIONS,
  greeter,
  port,
  refusal,
  registryCalls,
  setup,
  useUnusedServer,
} from './option-functions.js';

noLeaks();
useUnusedServer();

const fail = (): never => {
  throw new Error('a trap of the program');
};
const TRAPS = { get: fail, has: fail, ownKeys: fail, getOwnPropertyDescriptor: fail };

function revokedProxy(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

/** By the text that the message shows. */
const NO_OBJECTS: readonly [string, unknown][] = [
  ['null', null],
  ['5', 5],
  ['"text"', 'text'],
  ['an array', []],
];
const HOSTILE_OBJECTS: readonly [string, unknown][] = [
  ['a Proxy whose traps throw', new Proxy({}, TRAPS)],
  ['a Proxy whose get() throws', new Proxy({}, { get: fail })],
  ['a revoked Proxy', revokedProxy()],
];

/** The options that are themselves objects of options, by their type. */
const NESTED: Readonly<Record<string, string>> = {
  SessionOptions: 'session',
  SessionSetup: 'setup',
  BehindProxyOptions: 'behindProxy',
  ReconnectOptions: 'reconnect',
  WebSocketOptions: 'websocket',
  SocketOptions: 'socket',
  ServerSocketOptions: 'socket',
  UdpOptions: 'udp',
  UnixOptions: 'unix',
  TlsOptions: 'tls',
  RetryBudgetOptions: 'budget',
  EjectionOptions: 'ejection',
  LinkOptions: 'link',
  RateOptions: 'rate',
  RateInOptions: 'rate.in',
  RateOutOptions: 'rate.out',
  SubsetOptions: 'subset',
};

/** Functions whose wrong options are a wrong setup, by the type of the options. */
const SETUP_FUNCTIONS = FUNCTIONS_WITH_OPTIONS.SessionSetup ?? {};

/** Options that are a number of things or bytes; others are times and ratios. */
const COUNT =
  /^(max(?!\w*(?:Delay|Interval|Time|Age|Grace|Share)$)\w+|\w+Bytes|backlog|connections|concurrency|queue|limit|burst|attempts|failures|probes|times|garbageInputs|highWaterMark|streamWindow|multicastTtl|weight)$/;

const isCount = (name: string): boolean => COUNT.test(name);
/**
 * `limit` of a simulation and `burst` of a rate are times. The others depend on the transport; see
 * below.
 */
const HAS_NO_COUNTS = [
  'SimulationOptions',
  'RateInOptions',
  'RateOutOptions',
  'WebSocketOptions',
  'UdpOptions',
];

/** The code and the message of the refusal; why there is none otherwise. */
async function textOf(attempt: () => unknown): Promise<string> {
  const { code, message } = await refusal(attempt).catch((error) => error);
  return `${code} ${message}`;
}

describe.each(Object.entries(FUNCTIONS_WITH_OPTIONS))('%s', (type, functions) => {
  const names = DECLARED_OPTIONS.get(type) ?? [];

  test.each(Object.entries(functions))('%s refuses wrong values', async (name, passOptions) => {
    const nested = type.startsWith('Session') && name in SETUP_FUNCTIONS ? 'setup' : NESTED[type];
    const place = nested ?? '(options of |an operation of ).*';
    const accepted: string[] = [];
    const connectionsBefore = connections;
    const expectRefusal = async (wrong: unknown, shown: string, text: RegExp): Promise<void> => {
      const found = await textOf(() => passOptions(wrong as object));
      if (!text.test(found)) accepted.push(`${shown}: ${found}`);
    };
    // An empty array has no wrong name. A further check would cost time in every call.
    const values = type === 'CallOptions' ? NO_OBJECTS.slice(0, 3) : NO_OBJECTS;
    for (const [shown, wrong] of values)
      await expectRefusal(
        wrong,
        shown,
        new RegExp(`^BAD_OPTION ${place}: got ${shown}, expected `),
      );
    for (const [shown, wrong] of HOSTILE_OBJECTS)
      await expectRefusal(
        wrong,
        shown,
        new RegExp(`^BAD_OPTION (${place}|options of the setup|setup must)`),
      );
    for (const option of HAS_NO_COUNTS.includes(type) ? [] : names.filter(isCount)) {
      const text = new RegExp(`^BAD_OPTION (\\w+\\.)?${option}: got 1.5, expected an integer`);
      await expectRefusal({ [option]: 1.5 }, option, text);
    }
    if (names.includes('signal')) {
      for (const [shown, signal] of [...NO_OBJECTS, ...HOSTILE_OBJECTS, ['{}', {}] as const])
        await expectRefusal({ signal }, `signal ${shown}`, /^BAD_OPTION signal( is not an|: got)/);
    }
    expect(accepted).toEqual([]);
    expect(connections - connectionsBefore).toBe(0);
    expect(registryCalls).toEqual([]);
  });
});

test.each([
  ['ws', 'websocket', ['maxCompressBytes']],
  ['udp', 'udp', (DECLARED_OPTIONS.get('UdpOptions') ?? []).filter(isCount)],
])('%s:// refuses fractions of counts in the option %s', async (scheme, option, names) => {
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) {
    const wrong = { [option]: { [name]: 1.5 } };
    const expected = `BAD_OPTION ${option}.${name}: got 1.5, expected an integer`;
    expect(await textOf(() => serve(`${scheme}://127.0.0.1:0`, setup, wrong))).toMatch(expected);
    const address = `${scheme}://127.0.0.1:${port}`;
    expect(await textOf(() => connect(address, setup, wrong))).toMatch(expected);
  }
});

test('a long text is not shown as a whole', async () => {
  const long = 'x'.repeat(1_000_000);
  const { message } = await refusal(() => serve(FREE, setup, { maxSessions: long as never }));
  expect(message.length).toBeLessThan(400);
  expect(message).toMatch(/^maxSessions: got "x+"… \(1000000 characters\), expected an integer/);
});

test('a heartbeatPeriod below 1 ms is refused with its own name', async () => {
  const attempt = () => rpc.serve(FREE, [greeter], { heartbeatPeriod: 1e-320 });
  expect(await textOf(attempt)).toMatch(
    /^BAD_OPTION heartbeatPeriod: got 1e-320, expected a number/,
  );
});

test('errors take any value as their message', () => {
  for (const [message, text] of [
    [Symbol('a'), 'Symbol(a)'],
    [undefined, ''],
    [5, '5'],
    [revokedProxy(), 'a value that has no string form'],
  ]) {
    expect(new rpc.RpcError('NOT_FOUND', message as never).message).toBe(text);
    expect(new RefusedError(message as never).message).toBe(text);
  }
});

test('compose() refuses interceptors that are no functions', async () => {
  const invoke = async () => {};
  for (const wrong of [5, null, 'x'])
    expect(await textOf(() => rpc.compose([wrong as never], invoke))).toMatch(
      /^BAD_OPTION interceptors: got .*, expected functions that return a function/,
    );
});

test('errors refuse wrong options', async () => {
  for (const [shown, wrong] of NO_OBJECTS) {
    expect(await textOf(() => new RefusedError('no', wrong as never))).toMatch(
      `BAD_OPTION options of RefusedError: got ${shown}, expected an object`,
    );
    expect(await textOf(() => new rpc.RpcError('NOT_FOUND', 'no', wrong as never))).toMatch(
      `BAD_OPTION options of RpcError: got ${shown}, expected an object`,
    );
  }
  for (const [wrong, message] of [
    [{ unsent: 1 }, 'unsent: got 1, expected a boolean'],
    [{ reason: 'else' }, 'reason: got "else", expected refused, not-served, moving'],
    [{ method: 5 }, 'method: got 5, expected a string'],
  ] as const)
    expect(await textOf(() => new rpc.RpcError('NOT_FOUND', 'no', wrong as never))).toBe(
      `BAD_OPTION ${message}`,
    );
  expect(await textOf(() => new RefusedError('no', { reason: 'else' as never }))).toMatch(
    'BAD_OPTION reason: got "else", expected tls, timeout, ',
  );
});
