/** All functions that take options, and a server and a registry that they must not use. */
import { createServer, type Server as NetServer } from 'node:net';
import { types } from 'node:util';
import { afterAll, beforeAll } from 'vitest';
import { TestService as descriptor } from '../../demo/test_service_pb.js';
import { tracing } from '../../src/adapters/opentelemetry/index.js';
import { rpcMetrics } from '../../src/adapters/prometheus/index.js';
import {
  broadcast as callEveryNode,
  consume,
  failover,
  fork,
  hedge,
  p2cEwma,
  provide,
  type Registry,
  Resolver,
  random,
  weighted,
  zoneFirst,
} from '../../src/micro/index.js';
import { dns } from '../../src/registries/dns/index.js';
import { etcd } from '../../src/registries/etcd/index.js';
import { file } from '../../src/registries/file/index.js';
import { registry } from '../../src/registries/index.js';
import { staticRegistry } from '../../src/registries/static/index.js';
import { ZooKeeperClient, zookeeper } from '../../src/registries/zookeeper/index.js';
import * as rpc from '../../src/rpc/index.js';
import {
  assertNoLeaks,
  callHandler,
  codecCases,
  proxy,
  simulate,
  testRegistry,
} from '../../src/testing/index.js';
import {
  broadcast,
  type ClientOptions,
  connect,
  jsonLines,
  lengthPrefixed,
  lines,
  type RateOptions,
  type ServerOptions,
  type Session,
  type SessionSetup,
  serve,
  taskPool,
  topics,
} from '../../src/transport/index.js';
import { connect as connectInBrowser } from '../../src/web/connect.js';
import { connect as connectRpcInBrowser } from '../../src/web/rpc.js';
import { identity, SERVER_TLS } from '../fixtures/certificates.js';

/** A server that no function may connect to. */
let unusedServer: NetServer;
/** The port of the unused server. */
export let port = 0;
/** The number of connections that the unused server has accepted. */
export let connections = 0;
/** Runs the unused server during the tests of a file. */
export function useUnusedServer(): void {
  beforeAll(async () => {
    unusedServer = createServer((socket) => {
      connections++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => unusedServer.listen(0, '127.0.0.1', resolve));
    port = (unusedServer.address() as { port: number }).port;
  });
  afterAll(() => void unusedServer.close());
}

/** The calls of `unusedRegistry`. */
export const registryCalls: string[] = [];
/** A registry that no function may call. */
export const unusedRegistry: Registry = {
  async register(node) {
    registryCalls.push(node.id);
    return { async [Symbol.asyncDispose]() {} };
  },
  async *watch({ service }) {
    registryCalls.push(service);
    yield [];
  },
  list: async () => [],
  async [Symbol.asyncDispose]() {},
};

export const setup: SessionSetup<string> = { codec: lines(), listener: { onMessage() {} } };
export const Greeter = rpc.contract('Greeter', {
  hello: rpc.unary<string, string>(),
  tell: rpc.oneway<string>(),
  count: rpc.serverStream<number, number>(),
  sum: rpc.clientStream<number, number>(),
});
export const greeter = rpc.implement(Greeter, {
  hello: (name) => name,
  tell() {},
  async *count() {},
  sum: () => 1,
});
/** An address with a free port. */
export const FREE = 'tcp://127.0.0.1:0';
const FREE_TLS = 'tls://127.0.0.1:0';

/** Options with an unknown name, which the compiler refuses. */
type Wrong = object;
/** `wrong` with `required`; `wrong` itself unless it is an object whose options can be read. */
function withRequired<T extends object>(required: T, wrong: unknown): T {
  const isPlain =
    typeof wrong === 'object' && wrong !== null && !types.isProxy(wrong) && !Array.isArray(wrong);
  return isPlain ? { ...required, ...wrong } : (wrong as T);
}
/** Passes options to a function. */
type PassOptions = (wrong: Wrong) => unknown;

const serving = (options: (wrong: Wrong) => ServerOptions): Record<string, PassOptions> => ({
  'serve()': (wrong) => serve(FREE, setup, options(wrong)),
  'serve() of rpc': (wrong) => rpc.serve(FREE, [greeter], options(wrong)),
  'provide()': (wrong) =>
    provide(withRequired({ registry: unusedRegistry, services: [greeter] }, options(wrong))),
});
const dialing = (options: (wrong: Wrong) => ClientOptions): Record<string, PassOptions> => ({
  'connect()': (wrong) => connect(`tcp://127.0.0.1:${port}`, setup, options(wrong)),
  'connect() of rpc': (wrong) => rpc.connect(`tcp://127.0.0.1:${port}`, options(wrong)),
  'consume()': (wrong) => consume(withRequired({ registry: unusedRegistry }, options(wrong))),
});
const rates = (rateOf: (wrong: Wrong) => RateOptions): Record<string, PassOptions> => ({
  ...serving((wrong) => ({ rate: rateOf(wrong) })),
  ...dialing((wrong) => ({ rate: rateOf(wrong) })),
  'a setup': (wrong) => serve(FREE, { ...setup, rate: rateOf(wrong) }),
});
const servingAndDialing = (
  options: (wrong: Wrong) => ServerOptions & ClientOptions,
): Record<string, PassOptions> => ({
  ...serving(options),
  ...dialing(options),
});
const withRpcOptions = (
  options: (wrong: Wrong) => rpc.RpcOptions,
): Record<string, PassOptions> => ({
  'serve() of rpc': (wrong) => rpc.serve(FREE, [greeter], options(wrong)),
  'connect() of rpc': (wrong) => rpc.connect(`tcp://127.0.0.1:${port}`, options(wrong)),
  'provide()': (wrong) =>
    provide(withRequired({ registry: unusedRegistry, services: [greeter] }, options(wrong))),
  'consume()': (wrong) => consume(withRequired({ registry: unusedRegistry }, options(wrong))),
});

async function withRpc(use: (client: rpc.RpcClient) => unknown): Promise<unknown> {
  await using server = await rpc.serve('memory://', [greeter]);
  await using client = await rpc.connect(server.address);
  return await use(client);
}

/** A client session at `tcp://`. */
async function withSession(use: (session: Session<string>) => unknown): Promise<unknown> {
  await using server = await serve(FREE, setup);
  await using client = await connect(server.address, setup, { reconnect: false });
  return await use(await client.session());
}

async function withZooKeeper(use: (client: ZooKeeperClient) => unknown): Promise<unknown> {
  await using client = new ZooKeeperClient(`127.0.0.1:${port}`);
  return await use(client);
}

async function collect(replies: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of replies);
}

const SETUPS: Record<string, PassOptions> = {
  'serve()': (wrong) => serve(FREE, withRequired(setup, wrong)),
  'connect()': (wrong) => connect(`tcp://127.0.0.1:${port}`, withRequired(setup, wrong)),
  'a setup function': async (wrong) => {
    await using server = await serve('memory://', setup);
    return await connect(server.address, () => withRequired(setup, wrong));
  },
};
const keys = new Uint8Array(32);

/** All functions that take options, by the name of the type of these options. */
export const FUNCTIONS_WITH_OPTIONS: Readonly<
  Record<string, Readonly<Record<string, PassOptions>>>
> = {
  SessionOptions: { ...SETUPS, ...withRpcOptions((session) => ({ session })) },
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
  ProtocolSetup: { 'use()': (wrong) => withSession((session) => session.use(wrong)) },
  StartTlsOptions: { 'startTls()': (wrong) => withSession((session) => session.startTls(wrong)) },
  RateOptions: rates((rate) => rate),
  RateInOptions: rates((limit) => ({ in: limit })),
  RateOutOptions: rates((limit) => ({ out: limit })),
  ServerOptions: serving((wrong) => wrong),
  ClientOptions: dialing((wrong) => wrong),
  BehindProxyOptions: serving((wrong) => ({
    behindProxy: withRequired(
      { trusted: ['10.0.0.0/8'], header: 'proxy-protocol' as const },
      wrong,
    ),
  })),
  ReconnectOptions: dialing((reconnect) => ({ reconnect })),
  WebSocketOptions: servingAndDialing((websocket) => ({ websocket })),
  SocketOptions: servingAndDialing((socket) => ({ socket })),
  ServerSocketOptions: serving((socket) => ({ socket })),
  UdpOptions: servingAndDialing((udp) => ({ udp })),
  UnixOptions: serving((unix) => ({ unix })),
  TlsOptions: {
    'serve()': (wrong) => serve(FREE_TLS, setup, { tls: withRequired(SERVER_TLS, wrong) }),
    'connect()': (tls) => connect(`tls://127.0.0.1:${port}`, setup, { tls }),
    'serve() of rpc': (wrong) =>
      rpc.serve(FREE_TLS, [greeter], { tls: withRequired(SERVER_TLS, wrong) }),
    'connect() of rpc': (tls) => rpc.connect(`tls://127.0.0.1:${port}`, { tls }),
    'consume()': (tls) => consume({ registry: unusedRegistry, tls }),
    'reloadTls()': async (wrong) => {
      await using server = await serve(FREE_TLS, setup, { tls: SERVER_TLS });
      server.reloadTls(withRequired(identity('server'), wrong));
    },
    'etcd()': (tls) => etcd(`https://127.0.0.1:${port}`, { tls }),
    'zookeeper()': (tls) => zookeeper(`127.0.0.1:${port}`, { tls }),
  },
  TaskPoolOptions: { 'taskPool()': taskPool },
  BroadcastOptions: {
    'broadcast()': (wrong) => broadcast([], 'text', wrong),
    'publish()': (wrong) => topics<string>().publish('a', 'text', wrong),
  },
  TopicsOptions: { 'topics()': topics },
  JsonLinesOptions: { 'jsonLines()': jsonLines },
  LengthPrefixedOptions: { 'lengthPrefixed()': lengthPrefixed },
  WebClientOptions: {
    'connect() in a browser': (wrong) => connectInBrowser(`ws://127.0.0.1:${port}`, setup, wrong),
    'connect() of rpc in a browser': (wrong) =>
      connectRpcInBrowser(`ws://127.0.0.1:${port}`, wrong),
  },
  RpcOptions: withRpcOptions((wrong) => wrong),
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
    'stub() of a consumer': (wrong) => consume({ registry: unusedRegistry }).stub(Greeter, wrong),
    'resolver()': (wrong) => consume({ registry: unusedRegistry }).resolver(Greeter, wrong),
    'notify()': (wrong) => consume({ registry: unusedRegistry }).notify(Greeter, () => {}, wrong),
    'explain()': (wrong) => consume({ registry: unusedRegistry }).explain(Greeter, wrong),
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
    'auth()': (wrong) =>
      rpc.auth(withRequired({ authenticate: () => ({ subject: 'Ann' }) }, wrong)),
  },
  JwtOptions: {
    'jwt()': (wrong) => rpc.jwt(withRequired({ keys, issuer: 'a', audience: 'b' }, wrong)),
  },
  RetryOptions: { 'retry()': rpc.retry },
  RetryBudgetOptions: {
    RetryBudget: (wrong) => new rpc.RetryBudget(wrong),
    'retry()': (budget) => rpc.retry({ budget }),
    'failover()': (budget) => failover({ budget }),
    'hedge()': (budget) => hedge({ budget }),
  },
  CircuitBreakerOptions: { 'circuitBreaker()': rpc.circuitBreaker },
  AdaptiveLimitOptions: { 'adaptiveLimit()': rpc.adaptiveLimit },
  ConcurrencyLimitOptions: { 'concurrencyLimit()': rpc.concurrencyLimit },
  RateLimitOptions: { 'rateLimit()': rpc.rateLimit },
  SimulationOptions: { 'simulate()': (wrong) => simulate(wrong, () => {}) },
  LinkOptions: { 'simulate()': (wrong) => simulate({ link: wrong }, () => {}) },
  LoggingOptions: { 'logging()': (wrong) => rpc.logging(withRequired({ logger: console }, wrong)) },
  ProvideOptions: {
    'provide()': (wrong) =>
      provide(withRequired({ registry: unusedRegistry, services: [greeter] }, wrong)),
  },
  ConsumeOptions: {
    'consume()': (wrong) => consume(withRequired({ registry: unusedRegistry }, wrong)),
  },
  ResolverOptions: { Resolver: (wrong) => new Resolver(unusedRegistry, { service: 'A' }, wrong) },
  FailoverOptions: { 'failover()': failover },
  HedgeOptions: { 'hedge()': hedge },
  BroadcastStrategyOptions: { 'broadcast() of micro': callEveryNode },
  ForkOptions: { 'fork()': fork },
  SubsetOptions: {
    'consume()': (wrong) =>
      consume({ registry: unusedRegistry, subset: withRequired({ size: 1, id: 0 }, wrong) }),
  },
  ZoneFirstOptions: { 'zoneFirst()': (wrong) => zoneFirst(withRequired({ zone: 'a' }, wrong)) },
  EjectionOptions: { 'consume()': (ejection) => consume({ registry: unusedRegistry, ejection }) },
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
  StaticRegistryOptions: {
    'staticRegistry()': (wrong) => staticRegistry([], wrong),
    'registry()': (wrong) => registry('static:tcp://127.0.0.1:1', wrong),
  },
  DnsRegistryOptions: {
    'dns()': (wrong) => dns('localhost:1', wrong),
    'registry()': (wrong) => registry('dns:localhost:1', wrong),
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
        client.multi([withRequired({ type: 'create' as const, path: '/a', data: keys }, wrong)]),
      ),
  },
  CodecCasesOptions: { 'codecCases()': (wrong) => codecCases(lines(), ['a'], wrong) },
  CallHandlerOptions: { 'callHandler()': (wrong) => callHandler(greeter, 'hello', 'Ann', wrong) },
  FlapOptions: { 'flap()': (wrong) => testRegistry().flap({}, wrong) },
  LeakOptions: { 'assertNoLeaks()': assertNoLeaks },
  ProxyOptions: { 'proxy()': (wrong) => proxy(FREE, {}, wrong) },
  RpcMetricsOptions: { 'rpcMetrics()': rpcMetrics },
  TracingOptions: { 'tracing()': tracing },
};

/** The error of `attempt`. A value that it returns is disposed. */
export async function refusal(attempt: () => unknown): Promise<Error & { code?: unknown }> {
  try {
    const made = (await attempt()) as Partial<AsyncDisposable> | undefined;
    await made?.[Symbol.asyncDispose]?.();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}
