/** Options at the wrong function, and further arguments with option names. */
import { describe, expect, test } from 'vitest';
import { consume, provide, Resolver, type ServiceQuery } from '../../src/micro/index.js';
import { dns } from '../../src/registries/dns/index.js';
import { etcd } from '../../src/registries/etcd/index.js';
import { file } from '../../src/registries/file/index.js';
import { registry } from '../../src/registries/index.js';
import { memory } from '../../src/registries/memory.js';
import { staticRegistry } from '../../src/registries/static/index.js';
import { zookeeper } from '../../src/registries/zookeeper/index.js';
import * as rpc from '../../src/rpc/index.js';
import {
  type ClientOptions,
  connect,
  type ServerOptions,
  type SessionSetup,
  serve,
} from '../../src/transport/index.js';
import { CLIENT_TLS, SERVER_TLS } from '../fixtures/certificates.js';
import { noLeaks } from '../fixtures/leaks.js';
import {
  FREE,
  Greeter,
  greeter,
  port,
  refusal,
  setup,
  unusedRegistry,
  useUnusedServer,
} from './option-functions.js';

noLeaks();
useUnusedServer();

describe('an option of another function is refused', () => {
  test.each<[string, string, () => unknown]>([
    [
      'maxSessions',
      'serve(), its third argument',
      () => serve(FREE, { ...setup, maxSessions: 5 } as SessionSetup<string>),
    ],
    [
      'idleTimeout',
      'the setup, the second argument',
      () => serve(FREE, setup, { idleTimeout: 5 } as ServerOptions),
    ],
    ['connections', 'connect()', () => serve(FREE, setup, { connections: 5 } as ServerOptions)],
    ['allow', 'serve()', () => connect(FREE, setup, { allow: [] } as ClientOptions)],
    ['backlog', 'socket', () => serve(FREE, setup, { backlog: 5 } as ServerOptions)],
    [
      'backlog',
      'the option socket of serve()',
      () => connect(FREE, setup, { socket: { backlog: 5 } as ClientOptions['socket'] }),
    ],
    ['maxDelay', 'reconnect', () => connect(FREE, setup, { maxDelay: 5 } as ClientOptions)],
    ['ca', 'tls', () => connect(FREE, setup, { ca: '' } as ClientOptions)],
    [
      'idleTimeout',
      'session',
      () => rpc.serve(FREE, [], { idleTimeout: 5 } as rpc.RpcServerOptions),
    ],
    [
      'maxSessions',
      'serve()',
      () => rpc.serve(FREE, [], { session: { maxSessions: 5 } as rpc.RpcOptions['session'] }),
    ],
    [
      'onReady',
      'connect()',
      () =>
        consume({ registry: unusedRegistry, onReady: () => {} } as Parameters<typeof consume>[0]),
    ],
  ])('with the function that has it: %s, %s', async (name, place, attempt) => {
    const error = await refusal(attempt);
    expect(error).toMatchObject({ code: 'BAD_OPTION' });
    expect(error.message).toMatch(
      new RegExp(
        `^${name} is not an option of .*; it is an option of ${place.replace(/[()]/g, '\\$&')}$`,
      ),
    );
  });

  test('where a method has no such option: idempotent of a stream, timeout and output without reply', () => {
    expect(() => rpc.serverStream({ idempotent: true } as never)).toThrow(
      'idempotent is not an option of serverStream()',
    );
    expect(() => rpc.oneway({ timeout: 5 } as never)).toThrow(
      'timeout is not an option of oneway()',
    );
    expect(() => rpc.noReply({ output: { json: 'JSON' } } as never)).toThrow(
      'output is not an option of noReply()',
    );
  });

  test.each(['tcp', 'ws', 'udp'])('where it has no effect: tls at %s://', async (scheme) => {
    const error = await refusal(() => serve(`${scheme}://127.0.0.1:0`, setup, { tls: SERVER_TLS }));
    expect(error).toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('expected an address at tls:// or wss:// with it'),
    });
    expect(
      await refusal(() => connect(`${scheme}://127.0.0.1:${port}`, setup, { tls: {} })),
    ).toMatchObject({ code: 'BAD_OPTION' });
  });
});

test('the names of queries, updates, changes of a call, watch() and ready() are checked', async () => {
  const query = { service: 'A', verison: '1' } as ServiceQuery;
  for (const one of [
    memory(),
    file('/nowhere'),
    etcd(`127.0.0.1:${port}`),
    zookeeper(`127.0.0.1:${port}`),
    staticRegistry([]),
    dns('localhost:1'),
  ]) {
    await using registry = one;
    expect(() => registry.watch(query)).toThrow('did you mean version?');
    expect(() => registry.watch({ service: 'A' }, { signall: undefined } as never)).toThrow(
      'did you mean signal?',
    );
  }
  await using resolver = new Resolver(memory(), { service: 'A' });
  expect(() => resolver.ready({ timeOut: 5 } as never)).toThrow('did you mean timeout?');
  await using provider = await provide({
    registry: memory(),
    services: [greeter],
    address: FREE,
    advertise: '127.0.0.1',
  });
  await expect(provider.update({ wieght: 5 } as never)).rejects.toThrow('did you mean weight?');
  const refusals: unknown[] = [];
  const changing: rpc.Interceptor = (next) => (call) => {
    refusals.push((() => refusal(() => call.with({ timeOut: 5 } as never)))());
    return next(call);
  };
  await using server = await rpc.serve('memory://', [greeter], { interceptors: [changing] });
  await using client = await rpc.connect(server.address, { interceptors: [changing] });
  await client.stub(Greeter).hello('Ann');
  expect(await Promise.all(refusals)).toMatchObject([
    { code: 'BAD_OPTION' },
    { code: 'BAD_OPTION' },
  ]);
});

test('registry() passes to each kind of registry only its own options', async () => {
  const all = { ttl: 5_000, pollInterval: 100, sessionTimeout: 10_000, dialTimeout: 100 };
  for (const url of [
    'memory:',
    'file:///nowhere',
    `etcd://127.0.0.1:${port}`,
    `zookeeper://127.0.0.1:${port}`,
    'static:tcp://127.0.0.1:1',
    'dns:localhost:1',
  ]) {
    await using _ = await registry(url, all);
  }
  expect(
    await refusal(() => registry(`etcd://127.0.0.1:${port}`, { root: 'no slash' })),
  ).toMatchObject({
    message: expect.stringContaining('root: got'),
  });
  expect(await refusal(() => registry('memory:name?ttl=5'))).toMatchObject({ code: 'BAD_ADDRESS' });
});

test('a consumer with tls also calls nodes without TLS', async () => {
  await using nodes = memory();
  await using _ = await provide({
    registry: nodes,
    services: [greeter],
    address: FREE,
    advertise: '127.0.0.1',
  });
  await using consumer = consume({ registry: nodes, tls: CLIENT_TLS });
  expect(await consumer.stub(Greeter).hello('Ann')).toBe('Ann');
});
