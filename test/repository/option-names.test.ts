/**
 * Every function that takes options refuses a name that it does not know, names the nearest right
 * one, and does nothing else.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server as NetServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestService as descriptor } from '../../demo/test_service_pb.js';
import { tracing } from '../../src/adapters/opentelemetry/index.js';
import { rpcMetrics } from '../../src/adapters/prometheus/index.js';
import {
  consume,
  failover,
  hedge,
  p2cEwma,
  provide,
  type Registry,
  Resolver,
  random,
  type ServiceQuery,
  weighted,
} from '../../src/micro/index.js';
import { etcd } from '../../src/registries/etcd/index.js';
import { file } from '../../src/registries/file/index.js';
import { registry } from '../../src/registries/index.js';
import { memory } from '../../src/registries/memory.js';
import { ZooKeeperClient, zookeeper } from '../../src/registries/zookeeper/index.js';
import * as rpc from '../../src/rpc/index.js';
import {
  type ClientOptions,
  connect,
  jsonLines,
  lengthPrefixed,
  lines,
  type ServerOptions,
  type SessionSetup,
  serve,
  taskPool,
} from '../../src/transport/index.js';
import { connect as connectInBrowser } from '../../src/web/connect.js';
import { connect as connectRpcInBrowser } from '../../src/web/rpc.js';
import { CLIENT_TLS, identity, SERVER_TLS } from '../fixtures/certificates.js';
import { noLeaks } from '../fixtures/leaks.js';

noLeaks();

/** Counts who comes; no attempt may. */
let stranger: NetServer;
let port = 0;
let visits = 0;
beforeAll(async () => {
  stranger = createServer((socket) => {
    visits++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
  port = (stranger.address() as { port: number }).port;
});
afterAll(() => stranger.close());

/** A registry that must not be asked. */
const asked: string[] = [];
const untouched: Registry = {
  async register(node) {
    asked.push(node.id);
    return { async [Symbol.asyncDispose]() {} };
  },
  async *watch({ service }) {
    asked.push(service);
    yield [];
  },
  list: async () => [],
  async [Symbol.asyncDispose]() {},
};

const setup: SessionSetup<string> = { codec: lines(), listener: { onMessage() {} } };
const Greeter = rpc.contract('Greeter', {
  hello: rpc.unary<string, string>(),
  tell: rpc.oneway<string>(),
  count: rpc.serverStream<number, number>(),
  sum: rpc.clientStream<number, number>(),
});
const greeter = rpc.implement(Greeter, {
  hello: (name) => name,
  tell() {},
  async *count() {},
  sum: () => 1,
});
const FREE = 'tcp://127.0.0.1:0';
const FREE_TLS = 'tls://127.0.0.1:0';

/** Options that the compiler would refuse. */
type Wrong = object;
type Attempt = (wrong: Wrong) => unknown;

const serving = (options: (wrong: Wrong) => ServerOptions): Record<string, Attempt> => ({
  'serve()': (wrong) => serve(FREE, setup, options(wrong)),
  'serve() of rpc': (wrong) => rpc.serve(FREE, [greeter], options(wrong)),
  'provide()': (wrong) => provide({ registry: untouched, services: [greeter], ...options(wrong) }),
});
const dialling = (options: (wrong: Wrong) => ClientOptions): Record<string, Attempt> => ({
  'connect()': (wrong) => connect(`tcp://127.0.0.1:${port}`, setup, options(wrong)),
  'connect() of rpc': (wrong) => rpc.connect(`tcp://127.0.0.1:${port}`, options(wrong)),
  'consume()': (wrong) => consume({ registry: untouched, ...options(wrong) }),
});
const anywhere = (
  options: (wrong: Wrong) => ServerOptions & ClientOptions,
): Record<string, Attempt> => ({
  ...serving(options),
  ...dialling(options),
});
const inSession = (options: (wrong: Wrong) => rpc.RpcOptions): Record<string, Attempt> => ({
  'serve() of rpc': (wrong) => rpc.serve(FREE, [greeter], options(wrong)),
  'connect() of rpc': (wrong) => rpc.connect(`tcp://127.0.0.1:${port}`, options(wrong)),
  'provide()': (wrong) => provide({ registry: untouched, services: [greeter], ...options(wrong) }),
  'consume()': (wrong) => consume({ registry: untouched, ...options(wrong) }),
});

async function withRpc(use: (client: rpc.RpcClient) => unknown): Promise<unknown> {
  await using server = await rpc.serve('memory://', [greeter]);
  await using client = await rpc.connect(server.address);
  return await use(client);
}

async function withZooKeeper(use: (client: ZooKeeperClient) => unknown): Promise<unknown> {
  await using client = new ZooKeeperClient(`127.0.0.1:${port}`);
  return await use(client);
}

async function collect(replies: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of replies);
}

const SETUPS: Record<string, Attempt> = {
  'serve()': (wrong) => serve(FREE, { ...setup, ...wrong }),
  'connect()': (wrong) => connect(`tcp://127.0.0.1:${port}`, { ...setup, ...wrong }),
  'a setup function': async (wrong) => {
    await using server = await serve('memory://', setup);
    return await connect(server.address, () => ({ ...setup, ...wrong }));
  },
};
const keys = new Uint8Array(32);
const one = { json: 'JSON' };

/** By the options type: every function that takes it. */
const TAKERS: Readonly<Record<string, Readonly<Record<string, Attempt>>>> = {
  SessionOptions: { ...SETUPS, ...inSession((session) => ({ session })) },
  SessionSetup: SETUPS,
  SendOptions: {
    'send()': async (wrong) => {
      await using server = await serve('memory://', setup);
      await using client = await connect(server.address, setup);
      return await (await client.session()).send('text', wrong);
    },
  },
  CloseOptions: {
    'close()': async (wrong) => {
      await using server = await serve('memory://', setup);
      await using client = await connect(server.address, setup);
      return await (await client.session()).close(wrong);
    },
  },
  ServerOptions: serving((wrong) => wrong),
  ClientOptions: dialling((wrong) => wrong),
  ReconnectOptions: dialling((reconnect) => ({ reconnect })),
  WebSocketOptions: anywhere((websocket) => ({ websocket })),
  UdpOptions: anywhere((udp) => ({ udp })),
  UnixOptions: serving((unix) => ({ unix })),
  TlsOptions: {
    'serve()': (wrong) => serve(FREE_TLS, setup, { tls: { ...SERVER_TLS, ...wrong } }),
    'connect()': (tls) => connect(`tls://127.0.0.1:${port}`, setup, { tls }),
    'serve() of rpc': (wrong) =>
      rpc.serve(FREE_TLS, [greeter], { tls: { ...SERVER_TLS, ...wrong } }),
    'connect() of rpc': (tls) => rpc.connect(`tls://127.0.0.1:${port}`, { tls }),
    'consume()': (tls) => consume({ registry: untouched, tls }),
    'reloadTls()': async (wrong) => {
      await using server = await serve(FREE_TLS, setup, { tls: SERVER_TLS });
      server.reloadTls({ ...identity('server'), ...wrong });
    },
    'etcd()': (tls) => etcd(`https://127.0.0.1:${port}`, { tls }),
    'zookeeper()': (tls) => zookeeper(`127.0.0.1:${port}`, { tls }),
  },
  TaskPoolOptions: { 'taskPool()': taskPool },
  JsonLinesOptions: { 'jsonLines()': jsonLines },
  LengthPrefixedOptions: { 'lengthPrefixed()': lengthPrefixed },
  WebClientOptions: {
    'connect() in a browser': (wrong) => connectInBrowser(`ws://127.0.0.1:${port}`, setup, wrong),
    'connect() of rpc in a browser': (wrong) =>
      connectRpcInBrowser(`ws://127.0.0.1:${port}`, wrong),
  },
  RpcOptions: inSession((wrong) => wrong),
  RpcServerOptions: { 'serve() of rpc': (wrong) => rpc.serve(FREE, [greeter], wrong) },
  RpcClientOptions: {
    'connect() of rpc': (wrong) => rpc.connect(`tcp://127.0.0.1:${port}`, wrong),
  },
  CallOptions: {
    'a call': (wrong) => withRpc((client) => client.stub(Greeter).hello('Ann', wrong)),
    'a oneway call': (wrong) => withRpc((client) => client.stub(Greeter).tell('Ann', wrong)),
    'a stream of replies': (wrong) =>
      withRpc((client) => collect(client.stub(Greeter).count(1, wrong))),
    'a stream of arguments': (wrong) => withRpc((client) => client.stub(Greeter).sum([], wrong)),
  },
  StubOptions: {
    'stub()': (wrong) => withRpc((client) => client.stub(Greeter, wrong)),
    'stub() of a channel': (wrong) =>
      withRpc((client) => [...client.channels][0]?.stub(Greeter, wrong)),
    'stub() of a consumer': (wrong) => consume({ registry: untouched }).stub(Greeter, wrong),
    'resolver()': (wrong) => consume({ registry: untouched }).resolver(Greeter, wrong),
    'notify()': (wrong) => consume({ registry: untouched }).notify(Greeter, () => {}, wrong),
    'explain()': (wrong) => consume({ registry: untouched }).explain(Greeter, wrong),
  },
  ContractOptions: {
    'contract()': (wrong) => rpc.contract('A', { a: rpc.unary() }, wrong),
    'contract() of a descriptor': (wrong) => rpc.contract(descriptor, wrong),
  },
  DescriptorOptions: { 'contract() of a descriptor': (wrong) => rpc.contract(descriptor, wrong) },
  MethodOptions: { 'unary()': rpc.unary, 'noReply()': rpc.noReply },
  StreamOptions: {
    'serverStream()': rpc.serverStream,
    'clientStream()': rpc.clientStream,
    'duplex()': rpc.duplex,
  },
  AuthOptions: {
    'auth()': (wrong) => rpc.auth({ authenticate: () => ({ subject: 'Ann' }), ...wrong }),
  },
  JwtOptions: { 'jwt()': (wrong) => rpc.jwt({ keys, issuer: 'a', audience: 'b', ...wrong }) },
  RetryOptions: { 'retry()': rpc.retry },
  RetryBudgetOptions: {
    RetryBudget: (wrong) => new rpc.RetryBudget(wrong),
    'retry()': (budget) => rpc.retry({ budget }),
    'failover()': (budget) => failover({ budget }),
    'hedge()': (budget) => hedge({ budget }),
  },
  CircuitBreakerOptions: { 'circuitBreaker()': rpc.circuitBreaker },
  ConcurrencyLimitOptions: { 'concurrencyLimit()': rpc.concurrencyLimit },
  RateLimitOptions: { 'rateLimit()': rpc.rateLimit },
  LoggingOptions: { 'logging()': (wrong) => rpc.logging({ logger: console, ...wrong }) },
  ProvideOptions: {
    'provide()': (wrong) => provide({ registry: untouched, services: [greeter], ...wrong }),
  },
  ConsumeOptions: { 'consume()': (wrong) => consume({ registry: untouched, ...wrong }) },
  ResolverOptions: { Resolver: (wrong) => new Resolver(untouched, { service: 'A' }, wrong) },
  FailoverOptions: { 'failover()': failover },
  HedgeOptions: { 'hedge()': hedge },
  EjectionOptions: { 'consume()': (ejection) => consume({ registry: untouched, ejection }) },
  RandomOptions: { 'random()': random, 'weighted()': weighted, 'p2cEwma()': p2cEwma },
  FileRegistryOptions: {
    'file()': (wrong) => file('/nowhere', wrong),
    'registry()': (wrong) => registry('file:///nowhere', wrong),
  },
  EtcdOptions: {
    'etcd()': (wrong) => etcd(`127.0.0.1:${port}`, wrong),
    'registry()': (wrong) => registry(`etcd://127.0.0.1:${port}`, wrong),
  },
  ZooKeeperRegistryOptions: {
    'zookeeper()': (wrong) => zookeeper(`127.0.0.1:${port}`, wrong),
    'registry()': (wrong) => registry(`zookeeper://127.0.0.1:${port}`, wrong),
  },
  RegistryOptions: { 'registry() of memory': (wrong) => registry('memory:', wrong) },
  ZooKeeperClientOptions: {
    ZooKeeperClient: (wrong) => new ZooKeeperClient(`127.0.0.1:${port}`, wrong),
  },
  WatchOptions: {
    'exists()': (wrong) => withZooKeeper((client) => client.exists('/a', wrong)),
    'getData()': (wrong) => withZooKeeper((client) => client.getData('/a', wrong)),
    'getChildren()': (wrong) => withZooKeeper((client) => client.getChildren('/a', wrong)),
  },
  CreateOptions: {
    'create()': (wrong) => withZooKeeper((client) => client.create('/a', keys, wrong)),
    'multi()': (wrong) =>
      withZooKeeper((client) =>
        client.multi([{ type: 'create', path: '/a', data: keys, ...wrong }]),
      ),
  },
  RpcMetricsOptions: { 'rpcMetrics()': rpcMetrics },
  TracingOptions: { 'tracing()': tracing },
};

const SRC = new URL('../../src/', import.meta.url);
const MANIFEST = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
const sourceOf = (path: string): string => readFileSync(new URL(path, SRC), 'utf8');

/** The text of a module and of those that it exports whole. */
function exportsOf(path: string): string {
  const text = sourceOf(path);
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  return [
    text,
    ...[...text.matchAll(/^export \* from '\.\/(.*)\.js'/gm)].map(([, name]) =>
      exportsOf(`${folder}${name}.ts`),
    ),
    ...parents(text, folder),
  ].join('\n');
}

function parents(text: string, folder: string): string[] {
  return [...text.matchAll(/^export \* from '\.\.\/(.*)\.js'/gm)].map(([, name]) =>
    exportsOf(`${folder.replace(/[^/]+\/$/, '')}${name}.ts`),
  );
}

const ENTRIES = Object.values<{ default?: string }>(MANIFEST.exports).flatMap(
  ({ default: path }) => (path === undefined ? [] : [path]),
);
const PUBLIC = ENTRIES.map((path) =>
  exportsOf(path.replace('./dist/', '').replace(/\.js$/, '.ts')),
).join('\n');

/**
 * The options types of all sources that programs can import, with the names that they declare
 * themselves.
 */
const DECLARED = new Map<string, string[]>();
for (const path of readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ts'),
)) {
  for (const [, name = '', body = ''] of sourceOf(path).matchAll(
    /^export interface (\w+(?:Options|Setup|Listener))\b[^{]*\{(?:\}|\n([\s\S]*?)^\})$/gm,
  )) {
    const isPublic = new RegExp(
      `^export (?:interface ${name}\\b|(?:type )?\\{[^}]*\\b${name}\\b)`,
      'm',
    ).test(PUBLIC);
    if (isPublic)
      DECLARED.set(
        name,
        [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm)].map(([, member = '']) => member),
      );
  }
}

/** With a letter too many, and in capitals. */
const misspelled = (name: string): string[] => [`${name}${name.at(-1)}`, name.toUpperCase()];

async function refusal(attempt: () => unknown): Promise<Error & { code?: unknown }> {
  try {
    const made = (await attempt()) as Partial<AsyncDisposable> | undefined;
    await made?.[Symbol.asyncDispose]?.();
  } catch (error) {
    return error as Error;
  }
  throw new Error('it was not refused');
}

/** consume() manages these by itself. */
const NOT_OF_CONSUME = ['signal', 'onReady', 'onResponsive'];

test('every options type that programs can import is walked', () => {
  expect([...DECLARED.keys()].filter((name) => name !== 'EventListener').sort()).toEqual(
    Object.keys(TAKERS).sort(),
  );
});

describe.each(Object.entries(TAKERS))('%s', (type, takers) => {
  const names = DECLARED.get(type) ?? [];
  const walked = type === 'RegistryOptions' ? ['ttl', 'sessionTimeout'] : names;

  test.each(Object.entries(takers))(
    '%s refuses each name that is misspelled, and does nothing',
    async (taker, attempt) => {
      expect(walked.length).toBeGreaterThan(0);
      for (const name of walked) {
        for (const wrong of misspelled(name)) {
          const error = await refusal(() => attempt({ [wrong]: undefined }));
          expect(error, wrong).toMatchObject({ code: 'BAD_OPTION' });
          const isNamed = !(taker === 'consume()' && NOT_OF_CONSUME.includes(name));
          expect(error.message).toMatch(
            isNamed
              ? new RegExp(`^${wrong} is not an option of .*; did you mean ${name}\\?$`)
              : wrong,
          );
        }
      }
      expect(visits).toBe(0);
      expect(asked).toEqual([]);
    },
  );
});

describe('listeners', () => {
  const events = DECLARED.get('EventListener') ?? [];
  const given = (wrong: string): object => ({ onMessage() {}, [wrong]() {} });
  const instance = (wrong: string): object => {
    const Own = class {
      onMessage(): void {}
    };
    Object.defineProperty(Own.prototype, wrong, { value() {}, enumerable: false });
    return new Own();
  };

  test.each([
    ['an object', given],
    ['an instance of a class', instance],
  ])('%s with a misspelled event is refused', async (_, listenerOf) => {
    expect(events.length).toBeGreaterThan(4);
    for (const event of events) {
      for (const wrong of [
        event.toLowerCase(),
        `${event}${event.at(-1)}`,
        event.replace(/(.)(.)$/, '$2$1'),
      ]) {
        const error = await refusal(() =>
          serve(FREE, {
            ...setup,
            listener: listenerOf(wrong) as SessionSetup<string>['listener'],
          }),
        );
        expect(error).toMatchObject({
          code: 'BAD_OPTION',
          message: `${wrong} is not a method of the listener; did you mean ${event}?`,
        });
      }
    }
  });

  test('further methods and state of a listener, a codec and handlers are their own', async () => {
    class Own {
      received = 0;
      onmessages = 5;
      onMessage(): void {}
      _onMessage(): void {}
      onMessageOf(): void {}
      onDrained(): void {}
      get onmessage(): never {
        throw new Error('a getter must not run');
      }
      [Symbol.iterator](): void {}
    }
    await using _server = await serve('memory://', {
      codec: { ...lines(), Read() {}, state: 1 },
      listener: new Own(),
    } as SessionSetup<string>);
    rpc.implement(Greeter, {
      hello: (name: string) => name,
      tell() {},
      async *count() {},
      sum: () => 1,
      Hello() {},
    } as never);
  });
});

test('inherited names and symbols are not options', async () => {
  const options = Object.assign(Object.create({ inherited: 1 }), {
    [Symbol('own')]: 1,
    maxSessions: 5,
  });
  await using server = await serve('memory://', setup, options);
  await using _ = await connect(server.address, setup, Object.create({ conections: 1 }));
});

describe('a name that belongs to another place is refused with that place', () => {
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
    ['backlog', 'serve()', () => connect(FREE, setup, { backlog: 5 } as ClientOptions)],
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
      () => consume({ registry: untouched, onReady: () => {} } as Parameters<typeof consume>[0]),
    ],
  ])('%s: %s', async (name, place, attempt) => {
    const error = await refusal(attempt);
    expect(error).toMatchObject({ code: 'BAD_OPTION' });
    expect(error.message).toMatch(
      new RegExp(
        `^${name} is not an option of .*; it is an option of ${place.replace(/[()]/g, '\\$&')}$`,
      ),
    );
  });

  test('idempotent of a stream, timeout and output of a method without reply', () => {
    expect(() => rpc.serverStream({ idempotent: true } as never)).toThrow(
      'idempotent is not an option of serverStream()',
    );
    expect(() => rpc.oneway({ timeout: 5 } as never)).toThrow(
      'timeout is not an option of oneway()',
    );
    expect(() => rpc.noReply({ output: one } as never)).toThrow(
      'output is not an option of noReply()',
    );
  });

  test.each(['tcp', 'ws', 'udp'])(
    'tls at %s://, where everything would travel in plain text',
    async (scheme) => {
      const error = await refusal(() =>
        serve(`${scheme}://127.0.0.1:0`, setup, { tls: SERVER_TLS }),
      );
      expect(error).toMatchObject({
        code: 'BAD_OPTION',
        message: expect.stringContaining('expected an address at tls:// or wss:// with it'),
      });
      expect(
        await refusal(() => connect(`${scheme}://127.0.0.1:${port}`, setup, { tls: {} })),
      ).toMatchObject({ code: 'BAD_OPTION' });
    },
  );
});

test('queries, updates, changes of a call and the options of watch() and ready() are checked too', async () => {
  const query = { service: 'A', verison: '1' } as ServiceQuery;
  for (const one of [
    memory(),
    file('/nowhere'),
    etcd(`127.0.0.1:${port}`),
    zookeeper(`127.0.0.1:${port}`),
  ]) {
    await using asking = one;
    expect(() => asking.watch(query)).toThrow('did you mean version?');
    expect(() => asking.watch({ service: 'A' }, { signall: undefined } as never)).toThrow(
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
  const seen: unknown[] = [];
  const changing: rpc.Interceptor = (next) => (call) => {
    seen.push((() => refusal(() => call.with({ timeOut: 5 } as never)))());
    return next(call);
  };
  await using server = await rpc.serve('memory://', [greeter], { interceptors: [changing] });
  await using client = await rpc.connect(server.address, { interceptors: [changing] });
  await client.stub(Greeter).hello('Ann');
  expect(await Promise.all(seen)).toMatchObject([{ code: 'BAD_OPTION' }, { code: 'BAD_OPTION' }]);
});

test('registry() gives each kind the options that it knows', async () => {
  const all = { ttl: 5_000, pollInterval: 100, sessionTimeout: 10_000, dialTimeout: 100 };
  for (const url of [
    'memory:',
    'file:///nowhere',
    `etcd://127.0.0.1:${port}`,
    `zookeeper://127.0.0.1:${port}`,
  ]) {
    await using _ = await registry(url, all);
  }
  expect(
    await refusal(() => registry(`etcd://127.0.0.1:${port}`, { root: 'no slash' })),
  ).toMatchObject({
    message: expect.stringContaining('root: given'),
  });
  expect(await refusal(() => registry('memory:name?ttl=5'))).toMatchObject({ code: 'BAD_ADDRESS' });
});

test('a consumer with tls also calls nodes that have none', async () => {
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
