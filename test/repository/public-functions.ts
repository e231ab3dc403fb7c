/** All functions and classes that programs can import, with arguments that they accept. */
import { trace } from '@opentelemetry/api';
import { tracing } from '../../src/adapters/opentelemetry/index.js';
import { rpcMetrics } from '../../src/adapters/prometheus/index.js';
import * as micro from '../../src/micro/index.js';
import { dns } from '../../src/registries/dns/index.js';
import { etcd } from '../../src/registries/etcd/index.js';
import { file } from '../../src/registries/file/index.js';
import { registry } from '../../src/registries/index.js';
import { memory } from '../../src/registries/memory.js';
import { staticRegistry } from '../../src/registries/static/index.js';
import * as zookeeper from '../../src/registries/zookeeper/index.js';
import * as rpc from '../../src/rpc/index.js';
import * as testing from '../../src/testing/index.js';
import * as transport from '../../src/transport/index.js';
import { FREE, Greeter, greeter, port, setup, unusedRegistry } from './option-functions.js';

/** The modules whose functions have rows. Those of browsers have the same functions. */
export const MODULES: Readonly<Record<string, object>> = {
  transport,
  rpc,
  micro,
  zookeeper,
  testing,
  others: { dns, etcd, file, memory, registry, rpcMetrics, staticRegistry, tracing },
};

export type Kind =
  | 'undefined'
  | 'null'
  | 'number'
  | 'text'
  | 'symbol'
  | 'object'
  | 'array'
  | 'function';
type Arguments = readonly unknown[];
/** What can be called with wrong arguments. */
export interface Row {
  call(...args: Arguments): unknown;
  /** Arguments that are accepted. */
  readonly valid: Arguments;
  /** For each parameter, the kinds of values that are not refused, or not always. */
  readonly accepted: readonly (readonly Kind[])[];
}

const constructing =
  (type: unknown): Row['call'] =>
  (...args) =>
    Reflect.construct(type as never, args);
const row = (call: unknown, valid: Arguments, ...accepted: readonly Kind[][]): Row => ({
  call: call as Row['call'],
  valid,
  accepted,
});

export const OPTIONS: Kind[] = ['undefined', 'object'];
export const ANY: Kind[] = [
  'undefined',
  'null',
  'number',
  'text',
  'symbol',
  'object',
  'array',
  'function',
];
const address = `tcp://127.0.0.1:${port}`;
const handler = (): void => {};
const nodes: micro.ServiceNode[] = [];

/** Functions and classes without parameters. */
const WITHOUT_PARAMETERS = [
  'ByteReader',
  'ByteWriter',
  'lines',
  'raw',
  'varintPrefixed',
  'leaks',
  'testRegistry',
];
/** Errors that the package makes. Programs can import them for `instanceof`. */
const MADE_ERRORS = [
  'BroadcastError',
  'CloseError',
  'GettyError',
  'SendError',
  'SimulationError',
  'ZooKeeperError',
];
export const WITHOUT_ROW = [...WITHOUT_PARAMETERS, ...MADE_ERRORS];

export const FUNCTIONS: Readonly<Record<string, Row>> = {
  // transport
  serve: row(transport.serve, [FREE, setup, {}], [], ['function'], OPTIONS),
  connect: row(transport.connect, [address, setup, {}], [], ['function'], OPTIONS),
  broadcast: row(transport.broadcast, [[], 'text', {}], ['array'], ANY, OPTIONS),
  topics: row(transport.topics, [{}], OPTIONS),
  taskPool: row(transport.taskPool, [{}], OPTIONS),
  delimiter: row(transport.delimiter, ['\n'], ['text']),
  fixedLength: row(transport.fixedLength, [4], ['number']),
  jsonLines: row(transport.jsonLines, [{}], OPTIONS),
  lengthPrefixed: row(transport.lengthPrefixed, [{}], OPTIONS),
  mapCodec: row(
    transport.mapCodec,
    [transport.lines(), handler, handler],
    [],
    ['function'],
    ['function'],
  ),
  RefusedError: row(constructing(transport.RefusedError), ['text', {}], ANY, OPTIONS),
  // rpc
  auth: row(rpc.auth, [{ authenticate: handler }], []),
  bearer: row(rpc.bearer, ['token'], ['text', 'function']),
  circuitBreaker: row(rpc.circuitBreaker, [{}], OPTIONS),
  clientStream: row(rpc.clientStream, [{}], OPTIONS),
  duplex: row(rpc.duplex, [{}], OPTIONS),
  noReply: row(rpc.noReply, [{}], OPTIONS),
  oneway: row(rpc.oneway, [{}], OPTIONS),
  serverStream: row(rpc.serverStream, [{}], OPTIONS),
  unary: row(rpc.unary, [{}], OPTIONS),
  adaptiveLimit: row(rpc.adaptiveLimit, [{}], OPTIONS),
  concurrencyLimit: row(rpc.concurrencyLimit, [{}], OPTIONS),
  rateLimit: row(rpc.rateLimit, [{}], OPTIONS),
  retry: row(rpc.retry, [{}], OPTIONS),
  logging: row(rpc.logging, [{ logger: console }], []),
  jwt: row(rpc.jwt, [{ keys: new Uint8Array(32), issuer: 'a', audience: 'b' }], []),
  timeout: row(rpc.timeout, [5], ['number']),
  compose: row(rpc.compose, [[], handler], ['array'], ['function']),
  contract: row(rpc.contract, ['A', { a: rpc.unary() }, {}], ['text'], [], OPTIONS),
  implement: row(rpc.implement, [Greeter, {}], [], ['object']),
  isReceived: row(rpc.isReceived, [{}], ANY),
  makeStub: row(rpc.makeStub, [Greeter, handler, 1000, {}], [], ['function'], ['number'], OPTIONS),
  messageClass: row(rpc.messageClass, [Object], ['function']),
  percentileBetween: row(
    rpc.percentileBetween,
    [[1], undefined, { count: 1, buckets: [1] }, 0.5],
    ['array'],
    ['undefined'],
    [],
    [],
  ),
  Histogram: row(constructing(rpc.Histogram), []),
  RetryBudget: row(constructing(rpc.RetryBudget), [{}], OPTIONS),
  RpcError: row(constructing(rpc.RpcError), ['NOT_FOUND', 'text', {}], [], ANY, OPTIONS),
  // micro
  provide: row(micro.provide, [{ registry: unusedRegistry, services: [greeter] }], []),
  consume: row(micro.consume, [{ registry: unusedRegistry }], []),
  compareSnapshots: row(micro.compareSnapshots, [nodes, nodes], ['array'], ['array']),
  consistentHash: row(micro.consistentHash, [handler], ['function']),
  failfast: row(micro.failfast, [{}], OPTIONS),
  failover: row(micro.failover, [{}], OPTIONS),
  'broadcast of micro': row(micro.broadcast, [{}], OPTIONS),
  fork: row(micro.fork, [{}], OPTIONS),
  hedge: row(micro.hedge, [{}], OPTIONS),
  leastActive: row(micro.leastActive, []),
  roundRobin: row(micro.roundRobin, []),
  p2cEwma: row(micro.p2cEwma, [{}], OPTIONS),
  random: row(micro.random, [{}], OPTIONS),
  weighted: row(micro.weighted, [{}], OPTIONS),
  zoneFirst: row(micro.zoneFirst, [{ zone: 'a' }], []),
  Resolver: row(
    constructing(micro.Resolver),
    [unusedRegistry, { service: 'A' }, {}],
    [],
    [],
    OPTIONS,
  ),
  // registries
  memory: row(memory, ['name'], ['undefined', 'text']),
  file: row(file, ['/nowhere', {}], ['text'], OPTIONS),
  etcd: row(etcd, [`127.0.0.1:${port}`, {}], [], OPTIONS),
  dns: row(dns, ['localhost:1', {}], [], OPTIONS),
  registry: row(registry, ['memory:', {}], [], OPTIONS),
  staticRegistry: row(staticRegistry, [[], {}], ['array'], OPTIONS),
  zookeeper: row(zookeeper.zookeeper, ['127.0.0.1:1', {}], ['text'], OPTIONS),
  ZooKeeperClient: row(
    constructing(zookeeper.ZooKeeperClient),
    ['127.0.0.1:1', {}],
    ['text'],
    OPTIONS,
  ),
  digestId: row(zookeeper.digestId, ['a', 'b'], ['text'], ['text']),
  // testing and adapters
  assertNoLeaks: row(testing.assertNoLeaks, [{}], OPTIONS),
  callHandler: row(testing.callHandler, [greeter, 'hello', 'Ann', {}], [], [], ANY, OPTIONS),
  codecCases: row(testing.codecCases, [transport.lines(), ['a'], {}], [], ['array'], OPTIONS),
  mockStub: row(testing.mockStub, [Greeter, {}], [], OPTIONS),
  proxy: row(testing.proxy, [FREE, {}, {}], [], OPTIONS, OPTIONS),
  simulate: row(testing.simulate, [{}, handler], ['object'], ['function']),
  rpcMetrics: row(rpcMetrics, [{}], OPTIONS),
  tracing: row(tracing, [{ tracer: trace.getTracer('a') }], OPTIONS),
};
