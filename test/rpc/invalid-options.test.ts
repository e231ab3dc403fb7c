/** Options and addresses that are rejected. */

import { describe, expect, test } from 'vitest';
import { TestService as descriptor } from '../../demo/test_service_pb.js';
import {
  connect,
  contract,
  type Invoke,
  implement,
  oneway,
  type RpcClientOptions,
  type RpcServerOptions,
  retry,
  serve,
  unary,
} from '../../src/rpc/index.js';
import { type GettyError, taskPool } from '../../src/transport/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import {
  channelOf,
  freeMemoryAddress,
  pendingOf,
  rig,
  TCP,
  TestService,
  testService,
} from '../fixtures/rpc.js';
import { rejection, thrown } from '../fixtures/transports.js';

noLeaks();

describe('an invalid option is BAD_OPTION, and the message says what is expected', () => {
  const A = contract('A', { x: unary<number, number>(), y: oneway<number>() });
  const service = implement(A, { x: (n) => n, y: () => {} });
  const untyped = (value: unknown): never => value as never;

  const SHARED: [string, object, RegExp][] = [
    ['timeout 0', { timeout: 0 }, /^timeout: got 0, expected .*1/],
    ['a negative timeout', { timeout: -5 }, /^timeout: got -5/],
    ['a timeout that is no number', { timeout: Number.NaN }, /^timeout: got NaN/],
    ['a timeout that is a string', { timeout: '5s' }, /^timeout: got "5s", expected a number/],
    ['a negative heartbeatPeriod', { heartbeatPeriod: -1 }, /^heartbeatPeriod: got -1/],
    [
      'a heartbeatPeriod above the longest timer',
      { heartbeatPeriod: 2 ** 31 },
      /^heartbeatPeriod: got 2147483648, expected .*2147483647/,
    ],
    ['heartbeatTimeout 0', { heartbeatTimeout: 0 }, /^heartbeatTimeout: got 0/],
    ['maxPendingCalls 0', { maxPendingCalls: 0 }, /^maxPendingCalls: got 0/],
    ['a drainTimeout that is no number', { drainTimeout: null }, /^drainTimeout: got null/],
    [
      'an interceptor that is no function',
      { interceptors: [{}] },
      /^interceptors: got an object, expected functions/,
    ],
    [
      'interceptors that are no array',
      { interceptors: {} },
      /^interceptors: got an object, expected an array/,
    ],
    [
      'a task pool of the sessions',
      { session: { taskPool: taskPool() } },
      /^session.taskPool: got an object, expected nothing: concurrencyLimit\(\)/,
    ],
    ['interceptors: a number', { interceptors: 5 }, /^interceptors: got 5, expected an array$/],
    [
      'one interceptor instead of an array',
      { interceptors: () => {} },
      /^interceptors: got a function/,
    ],
    [
      'the function that makes an interceptor',
      { interceptors: [(next: Invoke) => next, retry] },
      /^interceptors\[1\]: options of retry\(\): got a function, expected an object; did you mean retry\(\)\?$/,
    ],
    ['interceptors null', { interceptors: null }, /^interceptors: got null/],
    [
      'a logger that cannot warn',
      { logger: { info() {} } },
      /^logger: got an object, expected .*warn/,
    ],
    ['a logger null', { logger: null }, /^logger: got null/],
    ['console.log as logger', { logger: () => {} }, /^logger: got a function/],
    ['session null', { session: null }, /^session: got null/],
    ['a session that is no object', { session: 5 }, /^session: got 5/],
    [
      'an invalid option of the session',
      { session: { maxMessageBytes: -1 } },
      /^maxMessageBytes: got -1/,
    ],
    [
      'an invalid compression',
      { session: { compression: 'gzip' } },
      /^compression: got "gzip", expected .*deflate/,
    ],
    ['an invalid idleTimeout', { session: { idleTimeout: 'never' } }, /^idleTimeout: got "never"/],
  ];

  test.each(SHARED)('of serve() and connect(): %s', async (_, options, message) => {
    await using server = await serve(freeMemoryAddress(), [service]);
    for (const refused of [
      serve(freeMemoryAddress(), [service], options as RpcServerOptions),
      connect(server.address, options as RpcClientOptions),
    ]) {
      const error = await rejection<GettyError>(refused);
      expect(error.code).toBe('BAD_OPTION');
      expect(error.message).toMatch(message);
    }
    expect(server.channels.size).toBe(0);
  });

  test.each<[string, () => Promise<unknown>]>([
    ['options null', () => serve(freeMemoryAddress(), [service], untyped(null))],
    ['options that are no object', () => connect('memory://none', untyped(5))],
    ['services that are no array', () => serve(freeMemoryAddress(), untyped(service))],
    ['no services', () => serve(freeMemoryAddress(), untyped(undefined))],
    ['a contract instead of a service', () => serve(freeMemoryAddress(), [untyped(A)])],
    ['a service null', () => serve(freeMemoryAddress(), [untyped(null)])],
    ['an invalid backlog', () => serve(TCP, [service], { socket: { backlog: 0 } })],
    [
      'services of a client that are no services',
      () => connect('memory://none', { services: untyped([1]) }),
    ],
    ['services of a client null', () => connect('memory://none', { services: untyped(null) })],
    ['no connections', () => connect('memory://none', { connections: 0 })],
    ['an invalid connectTimeout', () => connect('memory://none', { connectTimeout: -1 })],
    [
      'reconnect that is a string',
      () => connect('memory://none', { reconnect: untyped('always') }),
    ],
    ['an invalid delay', () => connect('memory://none', { reconnect: { initialDelay: 0 } })],
    ['onReady that is no function', () => connect('memory://none', { onReady: untyped(5) })],
  ])('of serve() or connect(): %s', async (_, action) => {
    const error = await rejection<GettyError>(action());
    expect([error.code, error.message]).toEqual([
      'BAD_OPTION',
      expect.stringMatching(/: got .*, expected .+/),
    ]);
  });

  test.each<[string, () => unknown]>([
    ['a contract without a name', () => contract('', { x: unary() })],
    ['a contract of undefined', () => contract(untyped(undefined))],
    ['a contract of null', () => contract(untyped(null))],
    ['a contract of a message', () => contract(untyped(descriptor.methods[0]?.input))],
    ['a contract without methods', () => contract('A', {})],
    ['methods null', () => contract('A', untyped(null))],
    ['a method of an unknown kind', () => contract('A', { x: untyped({ kind: 'stream' }) })],
    ['unary instead of unary()', () => contract('A', { x: untyped(unary) })],
    ['a method null', () => contract('A', { x: untyped(null) })],
    ['an idempotent that is no boolean', () => unary({ idempotent: untyped('no') })],
    ['an invalid timeout of a method', () => contract('A', { x: unary({ timeout: -1 }) })],
    ['a version that is no string', () => contract('A', { x: unary() }, { version: untyped(1) })],
    ['options null', () => contract('A', { x: unary() }, untyped(null))],
    [
      'a version of a descriptor that is no string',
      () => contract(descriptor, { version: untyped(1) }),
    ],
    ['a name of a descriptor that is empty', () => contract(descriptor, { name: '' })],
    [
      'a method that is oneway and noReply',
      () => contract(descriptor, { oneway: ['Test'], noReply: ['Test'] }),
    ],
    ['a oneway method that does not exist', () => contract(descriptor, { oneway: ['Nothing'] })],
    ['oneway that is no array', () => contract(descriptor, { oneway: untyped('Event') })],
    ['options of a descriptor null', () => contract(descriptor, untyped(null))],
    ['handlers that are missing', () => implement(A, untyped({ x: () => 1 }))],
    ['handlers null', () => implement(A, untyped(null))],
    ['a handler that is no function', () => implement(A, untyped({ x: 1, y() {} }))],
    ['implement without a contract', () => implement(untyped(undefined), {})],
    ['implement of a service', () => implement(untyped(service), {})],
  ])('of contract() or implement(): %s', (_, action) => {
    const error = thrown<GettyError>(action);
    expect([error.code, error.message]).toEqual([
      'BAD_OPTION',
      expect.stringMatching(/: got .*, expected .+/),
    ]);
  });

  test.each<[string, unknown]>([
    ['a timeout of 0', { timeout: 0 }],
    ['a timeout that is a string', { timeout: '5' }],
    ['a timeout null', { timeout: null }],
    ['metadata that are no object', { metadata: 'x' }],
    ['metadata null', { metadata: null }],
    ['metadata with a value that is no string', { metadata: { a: 1 } }],
    ['a signal that is no AbortSignal', { signal: {} }],
    ['a controller instead of its signal', { signal: new AbortController() }],
    ['a signal null', { signal: null }],
    ['options null', null],
    ['options that are a number', 5],
  ])('of a call: %s', async (_, options) => {
    await using pair = await rig();
    const error = await rejection<GettyError>(pair.stub.add({}, untyped(options)));
    expect([error.code, error.message]).toEqual([
      'BAD_OPTION',
      expect.stringMatching(/: got .*, expected .+/),
    ]);
    expect(pendingOf(pair.client)).toBe(0);
  });

  test('of stub(): no contract, or a codec that the contract does not have', async () => {
    await using pair = await rig();
    const channel = await channelOf(pair.client);
    for (const side of [pair.client, channel]) {
      expect(thrown<GettyError>(() => side.stub(untyped(undefined)))).toMatchObject({
        code: 'BAD_OPTION',
      });
      expect(thrown<GettyError>(() => side.stub(untyped(service)))).toMatchObject({
        code: 'BAD_OPTION',
      });
      expect(thrown<GettyError>(() => side.stub(A, { codec: 'protobuf' })).message).toMatch(
        /^codec: got "protobuf", expected .*json/,
      );
      expect(
        thrown<GettyError>(() => side.stub(TestService, { codec: untyped('xml') })).message,
      ).toMatch(/^codec: got "xml", expected .*protobuf, json/);
    }
  });
});

test.each([
  '',
  'localhost',
  'localhost:80',
  'http://localhost:80',
  'tcp://',
  'tcp://localhost',
  'tcp://localhost:65536',
  'tcp://localhost:-1',
  'tcp://localhost:x',
  'tcp://a b:1',
  'memory://a:1',
  'TCP://localhost:1',
  undefined,
  null,
  5,
])('the address %j is BAD_ADDRESS, and the message has the valid form', async (address) => {
  for (const action of [serve(address as string, [testService()]), connect(address as string)]) {
    const error = await rejection<GettyError>(action);
    expect(error.code).toBe('BAD_ADDRESS');
    expect(error.message).toContain(
      address === 'memory://a:1' ? 'expected memory://name' : 'expected tcp://host:port',
    );
  }
});

test('an object is an address for serve() only, and needs an HTTP server', async () => {
  expect(await rejection(connect({} as string))).toMatchObject({ code: 'BAD_ADDRESS' });
  expect(await rejection(serve({} as string, [testService()]))).toMatchObject({
    code: 'BAD_OPTION',
    message: 'server: got undefined, expected a server of node:http or node:https',
  });
});

test('an address in use is LISTEN_FAILED', async () => {
  for (const address of [TCP, freeMemoryAddress()]) {
    await using server = await serve(address, [testService()]);
    expect(await rejection(serve(server.address, [testService()]))).toMatchObject({
      code: 'LISTEN_FAILED',
    });
  }
});

test('a number of connections that is no integer is BAD_OPTION', async () => {
  await expect(connect('memory://none', { connections: 1.5 })).rejects.toThrow(
    'connections: got 1.5, expected an integer',
  );
});
