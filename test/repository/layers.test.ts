/** The layers of src: which imports are allowed. */
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MANIFEST = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

interface Import {
  /** Relative to src. */
  readonly from: string;
  /** A path relative to src, or the name of a package. */
  readonly to: string;
  readonly isPackage: boolean;
  /** True for `import type`, which the compiler erases. `import { type A }` loads the module. */
  readonly isTypeOnly: boolean;
}

const FILES = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter((file) =>
  file.endsWith('.ts'),
);
const STATIC = /^\s*(?:import|export)\s+(type\s+)?(?:[\w$*{}\s,]+?\sfrom\s+)?['"]([^'"]+)['"]/gm;
const DYNAMIC = /\bimport\(\s*['"]([^'"]+)['"]/g;

function importsOf(from: string): Import[] {
  const text = readFileSync(join(ROOT, 'src', from), 'utf8');
  const found = [...text.matchAll(STATIC)].map((match) => ({
    name: match[2] as string,
    isTypeOnly: match[1] !== undefined,
  }));
  for (const match of text.matchAll(DYNAMIC))
    found.push({ name: match[1] as string, isTypeOnly: false });
  return found.map(({ name, isTypeOnly }) => {
    const isPackage = !name.startsWith('.');
    return {
      from,
      to: isPackage ? name : posix.join(dirname(from), name).replace(/\.js$/, '.ts'),
      isPackage,
      isTypeOnly,
    };
  });
}

const IMPORTS = FILES.flatMap(importsOf);

/** The layer of a file: its folder, and for registries and adapters the folder below. */
function layerOf(file: string): string {
  const [first = '', second] = file.split('/');
  if (second === undefined) return first;
  if (first === 'adapters') return `adapters/${second}`;
  if (first === 'registries')
    return second === 'index.ts' ? 'registries' : `registries/${second.replace(/\.ts$/, '')}`;
  return first;
}

/** The files of micro that registries may import. */
const MICRO_FOR_REGISTRIES = ['micro/types.ts', 'micro/registry-entry.ts', 'micro/snapshots.ts'];
/** Counts the objects of a Protobuf message. etcd() limits answers with it. */
const OBJECT_COUNTER = 'rpc/codecs/protobuf/object-counter.ts';
/** What programs may import: the files behind package.json's exports. */
const PUBLIC = Object.values(MANIFEST.exports)
  .map((entry) => (entry as { default?: string }).default)
  .filter((path) => path !== undefined)
  .map((path) => path.replace('./dist/', '').replace(/\.js$/, '.ts'));

/** What the command line shows of bytes that no endpoint of its process has sent or received. */
const FOR_CLI = [
  'rpc/calls/no-reply-calls.ts',
  'rpc/wire/frame-description.ts',
  'rpc/wire/frame-scanner.ts',
  'testing/proxy/index.ts',
  'transport/codecs/json-text.ts',
  'transport/websocket/deflate/message-inflater.ts',
  'transport/websocket/frames/frame-parser.ts',
  'transport/websocket/handshake/request-parser.ts',
];

/** What each layer may import besides itself and core. A new layer needs an entry. */
const MAY_IMPORT: Record<string, (to: string, found: Import) => boolean> = {
  core: () => false,
  transport: () => false,
  rpc: (to) => to === 'transport',
  web: (to, { from }) =>
    to === 'transport' || (to === 'rpc' && (from === 'web/rpc.ts' || from === 'web/protobuf.ts')),
  micro: (to, { to: file, isTypeOnly }) =>
    to === 'rpc' || (to === 'transport' && (isTypeOnly || file === 'transport/address.ts')),
  'registries/*': (to, found) =>
    to === 'transport' ||
    to === 'registries/shared' ||
    found.to === OBJECT_COUNTER ||
    MICRO_FOR_REGISTRIES.includes(found.to),
  registries: (to, found) =>
    to.startsWith('registries/') || MICRO_FOR_REGISTRIES.includes(found.to),
  'adapters/*': (_, found) => found.to === 'rpc/index.ts',
  testing: (to) => ['transport', 'rpc', 'micro', 'registries/shared'].includes(to),
  cli: (_, found) => PUBLIC.includes(found.to) || FOR_CLI.includes(found.to),
};

/**
 * Files besides index.ts and types.ts that a layer above may import, each with the reason. `web`
 * and `registries` implement parts of the layers below for another platform or purpose, so they
 * import more files of them.
 */
const EXCEPTIONS: Readonly<Record<string, readonly [from: readonly string[], reason: string]>> = {
  'transport/address.ts': [
    ['rpc', 'micro', 'registries', 'web', 'testing'],
    'one parser for all addresses',
  ],
  'transport/buffers/byte-reader.ts': [
    ['rpc', 'web'],
    'frames are read from the buffer of a session',
  ],
  'transport/buffers/byte-writer.ts': [
    ['rpc', 'web', 'testing'],
    'frames are written to the buffer of a session',
  ],
  'transport/client/client-options.ts': [
    ['rpc'],
    'a consumer checks its options before it connects',
  ],
  'transport/client/client.ts': [
    ['web'],
    'a page has the client without the transports of Node.js',
  ],
  'transport/close-code.ts': [['web'], 'one list of close codes'],
  'transport/codecs/index.ts': [['web'], 'the ready codecs run in a page too'],
  'transport/codecs/json-text.ts': [['rpc', 'cli'], 'one set of limits for JSON of a peer'],
  'transport/endpoint.ts': [['testing'], 'each simulated process has its own module state'],
  'transport/node.ts': [
    ['rpc', 'testing'],
    'serve() and connect() of rpc choose the transports of Node.js; a simulation adds its own',
  ],
  'transport/option-names.ts': [
    ['rpc', 'web'],
    'the options of rpc and of a page include those of the transport',
  ],
  'transport/platform.ts': [
    ['web', 'rpc'],
    'a page is another platform of the transport; admin checks each address of a list',
  ],
  'transport/port/port-address.ts': [['web'], 'a page has the message ports of Node.js'],
  'transport/port/port.ts': [['web'], 'a page has the message ports of Node.js'],
  'transport/proxies/proxy-url.ts': [['rpc'], 'a consumer checks its options before it connects'],
  'transport/refused-error.ts': [['web'], 'a page refuses peers of its ports'],
  'transport/server.ts': [['web'], 'a page serves its workers and frames'],
  'transport/session/busy-poll.ts': [
    ['rpc', 'testing'],
    'a session polls while a call waits for its answer; module state',
  ],
  'transport/session/flush-scheduler.ts': [
    ['rpc', 'testing'],
    'the time is read once for each event; module state',
  ],
  'transport/client/open-sessions.ts': [
    ['rpc'],
    'a session is replaced when its server sends goaway',
  ],
  'transport/socket-options.ts': [['rpc'], 'a consumer checks its options before it connects'],
  'transport/session/send-waiter.ts': [['web'], 'a session of a page sends in the same way'],
  'transport/session/session-errors.ts': [
    ['rpc', 'testing'],
    'one error for messages that are too large',
  ],
  'transport/session/session.ts': [
    ['testing'],
    'a codec under test gets a session; module state of simulated processes',
  ],
  'transport/session/session-options.ts': [
    ['rpc', 'web', 'testing'],
    'the defaults and limits of a session',
  ],
  'transport/session/task-pool.ts': [['web'], 'a page may limit its handlers too'],
  'transport/session/timer-wheel.ts': [
    ['rpc', 'registries', 'testing'],
    'one timer for the heartbeats of all sessions; module state',
  ],
  'transport/tls/tls-options.ts': [['registries', 'testing'], 'one check of TLS options'],
  'transport/websocket/deflate/message-inflater.ts': [['cli'], 'a proxy shows compressed messages'],
  'transport/websocket/frames/frame-parser.ts': [['cli'], 'a proxy shows the messages of others'],
  'transport/websocket/handshake/request-parser.ts': [['cli'], 'the console reads single requests'],
  'transport/stream/memory.ts': [['testing'], 'each simulated process has its own module state'],
  'transport/websocket/websocket-options.ts': [['web'], 'one check of WebSocket options'],
  'rpc/calls/call-errors.ts': [['micro', 'testing'], 'a consumer fails calls as a client does'],
  'rpc/calls/channel.ts': [['testing'], 'a channel knows its calls in flight'],
  'rpc/calls/client-call.ts': [
    ['micro', 'testing'],
    'a consumer makes the call before it has a connection',
  ],
  'rpc/calls/datagrams/recent-requests.ts': [
    ['testing'],
    'each simulated process has its own module state',
  ],
  'rpc/calls/no-reply-calls.ts': [['cli'], 'a proxy reads the answers of Go servers'],
  'rpc/client.ts': [['web'], 'a page has the client without the transports of Node.js'],
  'rpc/codecs/protobuf/object-counter.ts': [
    ['registries'],
    'the objects of answers are counted as those of calls',
  ],
  'rpc/consumer-connection.ts': [['micro'], 'a consumer runs the interceptors of its calls itself'],
  'rpc/contract/contract.ts': [['web'], 'a page has contracts without Protobuf'],
  'rpc/contract/descriptor-contract.ts': [
    ['web'],
    'in a page, Protobuf contracts have their own entry point',
  ],
  'rpc/errors.ts': [['micro'], 'consumers check codes and copy errors as clients do'],
  'rpc/interceptor-chain.ts': [['micro'], 'strategies are called as interceptors are'],
  'rpc/method-kind.ts': [
    ['micro', 'testing'],
    'consumers retry streams in another way than other calls',
  ],
  'rpc/metrics/statistics.ts': [['micro'], 'consumers and clients have the same statistics'],
  'rpc/option-names.ts': [['micro'], 'the options of micro include those of rpc'],
  'rpc/portable.ts': [['web'], 'the exports of rpc for all platforms'],
  'rpc/server.ts': [['web'], 'a page serves its workers and frames'],
  'rpc/served-provider.ts': [['micro'], 'a server reports and changes the state of its provider'],
  'rpc/streams/call-end.ts': [['micro'], 'consumers and clients count the end of a call'],
  'rpc/streams/item-iterator.ts': [['micro', 'testing'], 'all callers read streams alike'],
  'rpc/wire/frame-description.ts': [['cli'], 'a proxy shows the frames of others'],
  'rpc/wire/frame-scanner.ts': [['cli'], 'a proxy finds frames in the bytes of others'],
  'rpc/wire/frame-summary.ts': [['testing'], 'the trace of a simulation names the calls'],
  'testing/proxy/index.ts': [['cli'], 'the command proxy, without the rest of the kit'],
  'web/rpc.ts': [['cli'], 'the page of the console and its process have one contract'],
  'registries/shared/registration.ts': [['testing'], 'all registries inform providers alike'],
  'registries/shared/watch-query.ts': [['testing'], 'all registries have the same watches'],
  'micro/registry-entry.ts': [['registries', 'testing'], 'all registries have the same entries'],
  'micro/snapshots.ts': [
    ['registries', 'testing'],
    'registries give whole lists instead of changes',
  ],
};

const topFolderOf = (file: string): string => file.split('/')[0] as string;

/** Whether an import uses index.ts, types.ts, or a file that EXCEPTIONS lists for its layer. */
function usesEntryPoint({ from, to, isPackage }: Import): boolean {
  if (
    isPackage ||
    topFolderOf(from) === topFolderOf(to) ||
    topFolderOf(to) === 'core' ||
    /^[^/]+\/(index|types)\.ts$/.test(to)
  )
    return true;
  return EXCEPTIONS[to]?.[0].includes(topFolderOf(from)) ?? false;
}

/** Whether the importing layer may import the imported layer. */
function isAllowed(found: Import): boolean {
  const from = layerOf(found.from);
  const to = layerOf(found.to);
  if (from === to || to === 'core') return true;
  return MAY_IMPORT[from.replace(/^(adapters|registries)\/.*/, '$1/*')]?.(to, found) ?? false;
}

const show = ({ from, to }: Import): string => `src/${from} imports ${to}`;

/** The files of the first cycle of imports, type imports included. Undefined: no cycle. */
function findCycle(imports: readonly Import[]): string[] | undefined {
  const next = new Map<string, string[]>();
  for (const { from, to, isPackage } of imports)
    if (!isPackage) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const visit = (file: string, path: string[]): string[] | undefined => {
    const at = path.indexOf(file);
    if (at >= 0) return [...path.slice(at), file];
    if (done.has(file)) return undefined;
    for (const to of next.get(file) ?? []) {
      const cycle = visit(to, [...path, file]);
      if (cycle !== undefined) return cycle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of next.keys()) {
    const cycle = visit(file, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

describe('the layers', () => {
  test('every import within src names an existing file', () => {
    expect(
      IMPORTS.filter(({ to, isPackage }) => !isPackage && !FILES.includes(to)).map(show),
    ).toEqual([]);
    expect(IMPORTS.length).toBeGreaterThan(FILES.length);
  });

  test('each layer imports only the layers below it', () => {
    expect(IMPORTS.filter((found) => !found.isPackage && !isAllowed(found)).map(show)).toEqual([]);
  });

  test('each layer is imported through its index.ts, its types.ts or a listed file', () => {
    expect(IMPORTS.filter((found) => !usesEntryPoint(found)).map(show)).toEqual([]);
    const used = (file: string, layer: string): boolean =>
      IMPORTS.some(
        ({ from, to, isPackage }) => !isPackage && to === file && topFolderOf(from) === layer,
      );
    const unused = Object.entries(EXCEPTIONS).flatMap(([file, [layers]]) =>
      layers.filter((layer) => !used(file, layer)).map((layer) => `${layer}: ${file}`),
    );
    expect(unused).toEqual([]);
  });

  test('no folder has more than 16 files of its own', () => {
    const counts = new Map<string, number>();
    for (const file of FILES) counts.set(dirname(file), (counts.get(dirname(file)) ?? 0) + 1);
    expect([...counts].filter(([, count]) => count > 16)).toEqual([]);
  });

  test('the check rejects an import of a layer above', () => {
    const wrong: [from: string, to: string][] = [
      ['transport/session/session.ts', 'rpc/types.ts'],
      ['transport/index.ts', 'rpc/index.ts'],
      ['core/errors.ts', 'transport/types.ts'],
      ['transport/client/client.ts', 'web/websocket.ts'],
      ['web/index.ts', 'rpc/index.ts'],
      ['rpc/client.ts', 'micro/types.ts'],
      ['micro/consumer.ts', 'transport/stream/tcp.ts'],
      ['micro/consumer.ts', 'registries/memory.ts'],
      ['registries/file/index.ts', 'registries/memory.ts'],
      ['registries/etcd/index.ts', 'registries/file/index.ts'],
      ['registries/file/index.ts', 'micro/consumer.ts'],
      ['registries/file/index.ts', 'rpc/index.ts'],
      ['cli/flags.ts', 'rpc/contract/router.ts'],
      ['transport/index.ts', 'cli/program.ts'],
      ['rpc/node.ts', 'cli/flags.ts'],
      ['adapters/prometheus/index.ts', 'rpc/metrics/statistics.ts'],
      ['adapters/opentelemetry/index.ts', 'transport/types.ts'],
      ['adapters/opentelemetry/index.ts', 'adapters/prometheus/index.ts'],
      ['rpc/index.ts', 'adapters/prometheus/index.ts'],
      ['rpc/index.ts', 'testing/index.ts'],
      ['testing/index.ts', 'web/index.ts'],
      ['newlayer/index.ts', 'rpc/index.ts'],
    ];
    for (const [from, to] of wrong)
      expect([from, to, isAllowed({ from, to, isPackage: false, isTypeOnly: false })]).toEqual([
        from,
        to,
        false,
      ]);
  });

  test('the imports of src have no cycle, type imports included', () => {
    expect(findCycle(IMPORTS)).toBeUndefined();
  });

  test('the check finds a cycle of imports', () => {
    const edge = (from: string, to: string, isTypeOnly = false): Import => {
      return { from, to, isPackage: false, isTypeOnly };
    };
    expect(findCycle([edge('a', 'b'), edge('b', 'c'), edge('c', 'b')])).toEqual(['b', 'c', 'b']);
    expect(findCycle([edge('a', 'b'), edge('b', 'a', true)])).toEqual(['a', 'b', 'a']);
    expect(findCycle([edge('a', 'b'), edge('a', 'c'), edge('b', 'c')])).toBeUndefined();
  });

  test('the demo imports the package by its name, and only core and cli of its internals', () => {
    const files = readdirSync(join(ROOT, 'demo')).filter((file) => file.endsWith('.ts'));
    const names = files.flatMap((file) =>
      [...readFileSync(join(ROOT, 'demo', file), 'utf8').matchAll(STATIC)].map(
        (match) => match[2] as string,
      ),
    );
    expect(names).toContain(`${MANIFEST.name}/micro`);
    const isAllowedInDemo = (name: string): boolean =>
      /^(\.\/|node:|@bufbuild\/|#getty\/(core|cli)\/)/.test(name) ||
      name.startsWith(`${MANIFEST.name}/`);
    expect(names.filter((name) => !isAllowedInDemo(name))).toEqual([]);
  });

  test('modules of Node.js have the prefix node:, and all other packages are dependencies', () => {
    const dependencies = [
      MANIFEST.dependencies,
      MANIFEST.peerDependencies,
      MANIFEST.optionalDependencies,
    ].flatMap((list) => Object.keys(list ?? {}));
    const packageOf = (name: string): string =>
      name.split('/', name.startsWith('@') ? 2 : 1).join('/');
    const isKnown = (name: string, from: string): boolean => {
      if (name.startsWith('node:'))
        return builtinModules.includes(name.slice(5)) || name === 'node:test';
      // The build bundles commander into dist/cli, so that the package does not depend on it.
      if (name === '#commander') return layerOf(from) === 'cli';
      // The build bundles the page of the console, with uPlot.
      if (name === 'uplot') return from.startsWith('cli/console/page/');
      return dependencies.includes(packageOf(name));
    };
    expect(
      IMPORTS.filter(({ from, to, isPackage }) => isPackage && !isKnown(to, from)).map(show),
    ).toEqual([]);
  });
});
