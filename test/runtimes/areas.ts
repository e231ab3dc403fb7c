/** What each row of the table in README.md is about, and the tests that show it. */

export interface Area {
  /** The first cell of the row. */
  readonly title: string;
  /** Whether a test belongs to the area. The id is `path/of/file > suite > test`. */
  includes(id: string): boolean;
}

/** The test files that run, below `test`. */
export const FILES: readonly string[] = [
  'transport/behavior/backpressure',
  'transport/behavior/broadcast',
  'transport/behavior/client',
  'transport/behavior/close-callbacks',
  'transport/behavior/closing',
  'transport/behavior/codec-errors',
  'transport/behavior/delivery',
  'transport/behavior/half-close',
  'transport/behavior/handler-errors',
  'transport/behavior/opening',
  'transport/behavior/send',
  'transport/behavior/server',
  'transport/behavior/session-info',
  'transport/behavior/use',
  'rpc/behavior/call-context',
  'rpc/behavior/calls',
  'rpc/behavior/closing',
  'rpc/behavior/interceptors',
  'rpc/behavior/lost-sessions',
  'rpc/behavior/reverse-calls',
  'rpc/codecs/json',
  'rpc/codecs/protobuf/protobuf-codec',
  'rpc/codecs/values',
  'rpc/streams/call-end',
  'rpc/streams/stream-items',
  'micro/provide-consume',
  'micro/provider',
  'micro/resolver',
  'micro/strategies/failover',
  'micro/strategies/retries',
  'registries/behavior',
  'repository/entry-points',
  'testing/simulation/first-answer',
  // The last one: it moves the clock, which is read by code that later files use.
  'registries/file/entry-ttl',
];

/**
 * Suites that do not run: registries that need a server; the transports of simulate(), for which
 * testing/simulation/first-answer is enough; and combinations of what other suites have.
 */
const LEFT_OUT = [
  ...['etcd', 'zookeeper', 'static', 'dns'],
  ...['sim', 'sim+snappy', 'simudp'],
  ...['memory+deflate', 'memory+snappy', 'ws+deflate', 'ws on an HTTP server', 'ws, web'],
  'the build for pages, without Buffer',
];
/** The transports on which no tests of rpc run. */
const LEFT_OUT_OF_RPC = ['tls', 'unix', 'wss', 'tcp+deflate', 'tcp+snappy'];

export function isLeftOut(id: string): boolean {
  const [path = '', suite = ''] = id.split(' > ');
  return LEFT_OUT.includes(suite) || (path.startsWith('rpc/') && LEFT_OUT_OF_RPC.includes(suite));
}

const transport =
  (...names: string[]) =>
  (id: string): boolean =>
    id.startsWith('transport/') && names.some((name) => id.includes(` > ${name} > `));
const below =
  (...folders: string[]) =>
  (id: string): boolean =>
    folders.some((folder) => id.startsWith(folder));

export const AREAS: readonly Area[] = [
  { title: 'TCP', includes: transport('tcp') },
  { title: 'TLS', includes: transport('tls') },
  { title: 'Unix sockets', includes: transport('unix') },
  { title: 'UDP', includes: transport('udp') },
  { title: 'memory', includes: transport('memory') },
  { title: 'WebSocket', includes: transport('ws') },
  { title: 'WebSocket over TLS', includes: transport('wss') },
  { title: 'message ports', includes: transport('port') },
  { title: 'stdio', includes: transport('stdio') },
  { title: 'compression: deflate, snappy', includes: transport('tcp+deflate', 'tcp+snappy') },
  { title: 'rpc: calls and streams, JSON and Protobuf', includes: below('rpc/') },
  { title: 'micro: publish, watch, balance, fail over', includes: below('micro/') },
  { title: 'registries memory and file', includes: below('registries/') },
  { title: 'the entry points of the package', includes: below('repository/entry-points') },
  { title: '`simulate()` of `getty-ts/testing`', includes: below('testing/simulation/') },
];
