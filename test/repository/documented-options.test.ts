/**
 * The option tables of transport.md, rpc.md, interceptors.md, micro.md, etcd.md and addresses.md
 * list exactly the options of the code with their defaults. The options of the ZooKeeper registry
 * have a test beside that registry. Other documents are not compared.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  BROADCAST_DEFAULTS,
  CONSUME_DEFAULTS,
  EJECTION_DEFAULTS,
  FAILOVER_DEFAULTS,
  FORK_DEFAULTS,
  HEDGE_DEFAULTS,
  ZONE_FIRST_DEFAULTS,
} from '../../src/micro/index.js';
import { RESOLVER_DEFAULTS } from '../../src/micro/resolver.js';
import { DNS_DEFAULTS } from '../../src/registries/dns/registry-options.js';
import { ETCD_DEFAULTS } from '../../src/registries/etcd/index.js';
import { FILE_REGISTRY_DEFAULTS } from '../../src/registries/file/index.js';
import { RPC_CLIENT_DEFAULTS } from '../../src/rpc/client.js';
import {
  ADAPTIVE_LIMIT_DEFAULTS,
  CIRCUIT_BREAKER_DEFAULTS,
  CONCURRENCY_LIMIT_DEFAULTS,
  JWT_DEFAULTS,
  LOGGING_DEFAULTS,
  RATE_LIMIT_DEFAULTS,
  RETRY_BUDGET_DEFAULTS,
  RETRY_DEFAULTS,
  RPC_DEFAULTS,
} from '../../src/rpc/index.js';
import { RPC_SERVER_DEFAULTS } from '../../src/rpc/server.js';
import {
  CLIENT_DEFAULTS,
  RATE_DEFAULTS,
  RECONNECT_DEFAULTS,
  SERVER_DEFAULTS,
  SERVER_SOCKET_DEFAULTS,
  SESSION_DEFAULTS,
  START_TLS_DEFAULTS,
  TOPICS_DEFAULTS,
  UDP_DEFAULTS,
} from '../../src/transport/index.js';
import { TASK_POOL_DEFAULTS } from '../../src/transport/session/task-pool.js';

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const INTERCEPTORS = [
  'circuit-breaker',
  'concurrency/adaptive-limit',
  'concurrency/concurrency-limit',
  'logging',
  'rate-limit',
  'retry',
].map((name) => `src/rpc/interceptors/${name}.ts`);
const RPC = [
  'types',
  'contract/contract',
  'contract/descriptor-contract',
  'contract/method',
  'interceptors/auth',
  'interceptors/jwt',
  'interceptors/retry-budget',
].map((name) => `src/rpc/${name}.ts`);
const MICRO = [
  'balancers/zone-first',
  'consume-options',
  'provide-options',
  'nodes/node-health',
  'resolver',
  'strategies/broadcast',
  'strategies/fork',
  'strategies/hedge',
  'strategies/failover',
].map((name) => `src/micro/${name}.ts`);
/** A heading between two documents ends the last table of the first one. */
const page = [
  'docs/transport.md',
  'docs/rpc.md',
  'docs/interceptors.md',
  'docs/micro.md',
  'docs/etcd.md',
  'docs/addresses.md',
]
  .map(read)
  .join('\n### \n');
const sources = [
  'src/transport/types.ts',
  'src/transport/session/task-pool.ts',
  'src/registries/dns/registry-options.ts',
  'src/transport/rooms/broadcast-options.ts',
  'src/transport/rooms/topics.ts',
  'src/registries/etcd/registry-options.ts',
  'src/registries/static/index.ts',
  'src/registries/file/registry-options.ts',
  ...RPC,
  ...INTERCEPTORS,
  ...MICRO,
]
  .map(read)
  .join('\n');
const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  ms: 1,
  s: 1000,
  bytes: 1,
  KiB: 1024,
  MiB: 1024 * 1024,
};

/** Milliseconds of `60 s` and bytes of `4 MiB`. Other text as it is written. */
function parseValue(text: string): unknown {
  const [, digits, unit = ''] = /^([\d,.]+)(?: (ms|s|bytes|KiB|MiB))?$/.exec(text) ?? [];
  if (digits !== undefined) return Number(digits.replaceAll(',', '')) * (UNITS[unit] as number);
  if (text === '`[]`') return [];
  const [, literal] = /^`(?:'(.*)'|true|false)`$/.exec(text) ?? [];
  return literal ?? (text === '`true`' ? true : text === '`false`' ? false : text);
}

/** The rows of the table below the heading `name`, or the rows of all tables with `prefix`. */
function documented(name: string, prefix: string): Record<string, unknown> {
  const section =
    prefix === '' ? (page.split(/^### /m).find((part) => part.startsWith(`${name}:`)) ?? '') : page;
  const rows = [...section.matchAll(/^\| `([\w.]+)` \| (.*?) \|/gm)].filter(([, option = '']) =>
    option.startsWith(prefix),
  );
  return Object.fromEntries(
    rows.map(([, option = '', value = '']) => [option.slice(prefix.length), parseValue(value)]),
  );
}

/** The options that the interface `name` declares. */
function declared(name: string): string[] {
  const [, body = ''] =
    new RegExp(
      `^export interface ${name}(?:<[^>]+>)?(?:\\s+extends [^{]+)? \\{\\n([\\s\\S]*?)^\\}`,
      'm',
    ).exec(sources) ?? [];
  return [...body.matchAll(/^ {2}(\w+)\?:/gm)].map(([, option = '']) => option);
}

const { path: _noPath, ...DNS_TABLE } = DNS_DEFAULTS;
const { interceptors: _, logger: _silent, session: _sessions, ...RPC_NUMBERS } = RPC_DEFAULTS;

test.each<[string, string, object]>([
  ['SessionOptions', '', SESSION_DEFAULTS],
  ['ServerOptions', '', SERVER_DEFAULTS],
  ['ClientOptions', '', CLIENT_DEFAULTS],
  ['ReconnectOptions', 'reconnect.', RECONNECT_DEFAULTS],
  ['TaskPoolOptions', 'taskPool.', TASK_POOL_DEFAULTS],
  ['BroadcastOptions', 'broadcast.', { slow: 'skip' }],
  ['TopicsOptions', 'topics.', TOPICS_DEFAULTS],
  ['ServerSocketOptions', 'socket.', SERVER_SOCKET_DEFAULTS],
  ['UdpOptions', 'udp.', UDP_DEFAULTS],
  ['UnixOptions', 'unix.', {}],
  ['TlsOptions', 'tls.', {}],
  ['WebSocketOptions', 'websocket.', {}],
  ['RateInOptions', 'rate.in.', RATE_DEFAULTS],
  ['RateOutOptions', 'rate.out.', { burst: RATE_DEFAULTS.burst }],
  ['StartTlsOptions', 'startTls.', START_TLS_DEFAULTS],
  ['RpcOptions', '', RPC_NUMBERS],
  ['RpcServerOptions', '', { ...RPC_SERVER_DEFAULTS, introspection: false, admin: false }],
  ['RpcClientOptions', '', RPC_CLIENT_DEFAULTS],
  ['CallOptions', '', {}],
  ['StubOptions', '', {}],
  ['ContractOptions', '', {}],
  ['DescriptorOptions', '', {}],
  ['MethodOptions', '', { idempotent: false }],
  ['StreamOptions', '', {}],
  ['AuthOptions', '', { per: 'call' }],
  ['JwtOptions', '', JWT_DEFAULTS],
  ['RetryOptions', '', { ...RETRY_DEFAULTS, codes: `\`${RETRY_DEFAULTS.codes.join()}\`` }],
  ['RetryBudgetOptions', '', RETRY_BUDGET_DEFAULTS],
  ['CircuitBreakerOptions', '', CIRCUIT_BREAKER_DEFAULTS],
  ['AdaptiveLimitOptions', '', ADAPTIVE_LIMIT_DEFAULTS],
  ['ConcurrencyLimitOptions', '', CONCURRENCY_LIMIT_DEFAULTS],
  ['RateLimitOptions', '', RATE_LIMIT_DEFAULTS],
  ['LoggingOptions', '', LOGGING_DEFAULTS],
  ['EtcdOptions', '', ETCD_DEFAULTS],
  ['StaticRegistryOptions', '', {}],
  ['DnsRegistryOptions', '', DNS_TABLE],
  ['FileRegistryOptions', '', FILE_REGISTRY_DEFAULTS],
  ['ProvideOptions', '', {}],
  ['ConsumeOptions', '', CONSUME_DEFAULTS],
  ['ResolverOptions', '', RESOLVER_DEFAULTS],
  ['FailoverOptions', '', FAILOVER_DEFAULTS],
  ['HedgeOptions', '', HEDGE_DEFAULTS],
  ['BroadcastStrategyOptions', '', BROADCAST_DEFAULTS],
  ['ForkOptions', '', FORK_DEFAULTS],
  ['ZoneFirstOptions', '', { ...ZONE_FIRST_DEFAULTS, zone: 'required', random: '`Math.random`' }],
  ['EjectionOptions', '', { ...EJECTION_DEFAULTS, codes: `\`${EJECTION_DEFAULTS.codes.join()}\`` }],
])('the documents list the options of %s with their defaults', (name, prefix, defaults) => {
  // The defaults of connect() of rpc include an option of the transport.
  const options = [...new Set([...declared(name), ...Object.keys(defaults)])];
  const rows = documented(name, prefix);
  expect(declared(name).length).toBeGreaterThan(0);
  expect(Object.keys(rows).sort()).toEqual(options.sort());
  expect(rows).toMatchObject(defaults);
});
