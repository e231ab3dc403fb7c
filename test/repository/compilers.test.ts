/**
 * The published types compile with the strictest options. The compilers are the oldest supported
 * TypeScript, the last one that is written in JavaScript, and the newest. The Protobuf libraries
 * are the oldest and the newest that the package accepts, and the installed one.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MANIFEST = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  exports: Record<string, { types?: string }>;
};
/** The entry points, such as `getty-ts/rpc`, each with its file of declarations. */
const ENTRIES = Object.entries(MANIFEST.exports).flatMap(([path, { types }]) =>
  types === undefined ? [] : [[`getty-ts${path.slice(1)}`, join(ROOT, types)] as const],
);

const COMPILERS = [
  ['typescript-5.4', 'protobuf-2.7'],
  ['typescript-5.9', '@bufbuild/protobuf'],
  ['typescript', 'protobuf-2.17'],
] as const;

/** The `compilerOptions` that README.md gives to programs. */
const README_OPTIONS = JSON.parse(
  /`compilerOptions`:\n\n```json\n(\{[^`]*\})\n```/.exec(
    readFileSync(join(ROOT, 'README.md'), 'utf8'),
  )?.[1] ?? '{}',
) as { types?: string[] };

/** The exported types of options. */
const OPTIONS = ENTRIES.flatMap(([entry, file]) => {
  const text = readFileSync(file, 'utf8');
  const exported = [
    ...text.matchAll(
      /^export (?:type )?\{([^}]*)\}|^export (?:declare )?(?:interface|type) (\w+)/gm,
    ),
  ].map(([, list, name]) => list ?? name);
  return [...new Set(exported.join().match(/\b\w+(?:Options|Detail)\b/g))].map(
    (name) => `import('${entry}').${name}`,
  );
});

/** Does not compile if an optional property of one of OPTIONS does not accept undefined. */
const UNDEFINED = `
  type Refusing<T> = { [K in keyof T]-?: {} extends Pick<T, K> ? (undefined extends Required<T>[K] ? never : K) : never }[keyof T];
  type None<T extends never> = T;
  // @ts-expect-error the property a does not accept undefined
  export type Check = None<Refusing<{ a?: number; b?: number | undefined }>>;
  ${OPTIONS.map((type, at) => `export type Check${at} = None<Refusing<${type}>>;`).join('\n')}`;

const PROGRAMS = {
  'undefined.ts': UNDEFINED,
  'stubs.ts': `
    import { type Contract, contract, type HandlersOf, type InputOf, type Interceptor, oneway, type OutputOf, serverStream, type Stub, type StubOf, unary, connect, implement, clientStream } from 'getty-ts/rpc';
    import { TestService } from './test_service_pb.js';
    const Greeter = contract('Greeter', { hello: unary<string, { text: string }>(), list: serverStream<string, number>(), sum: clientStream<number, number>(), tell: oneway<Date>() });
    type S = StubOf<typeof Greeter>;
    declare const stub: S;
    export const answer: Awaited<ReturnType<S['hello']>> = { text: 'x' };
    export const input: InputOf<typeof Greeter, 'hello'> = 'ann';
    export const output: OutputOf<typeof Greeter, 'hello'> = { text: 'x' };
    export const item: OutputOf<typeof Greeter, 'list'> = 5;
    // @ts-expect-error there is no such method
    export type None = InputOf<typeof Greeter, 'goodbye'>;
    // @ts-expect-error the reply is an object
    export const wrong: OutputOf<typeof Greeter, 'hello'> = 'x';
    export const same: Stub<typeof Greeter extends Contract<infer Specs> ? Specs : never> = stub;
    declare function timed<Args extends unknown[], Result>(
      call: (...args: Args) => Promise<Result>,
      ...args: Args
    ): Promise<Result>;
    export const text: string = (await timed(stub.hello, 'ann')).text;
    stub.hello('ann', (error, reply) => { if (error === null) reply?.text.trim(); });
    // An object that replaces a stub in a test.
    export const fake: S = {
      hello: async (name: string) => ({ text: name }),
      list: async function* () { yield 1; },
      sum: async () => 3,
      tell: async () => {},
    };
    for await (const n of fake.list('x')) n.toFixed();
    export const twice: Promise<number> = stub.sum([1, Promise.resolve(2)]);
    export const streamed: Promise<number> = stub.sum((async function* () { yield 1; })());
    // The type of all contracts.
    const Tests = contract(TestService, { oneway: ['Event'], noReply: ['Test'] });
    export const contracts: Contract[] = [Greeter, Tests, contract('Other', { a: unary() })];
    export const services = [
      implement(Greeter, {
        hello: (name) => ({ text: name }),
        list: () => [1, Promise.resolve(2)],
        sum: () => 1,
        tell() {},
      }),
    ];
    class GreeterHandlers implements HandlersOf<typeof Greeter> {
      readonly greeting = 'hello';
      hello(name: string) { return { text: this.greeting + name }; }
      *list(name: string) { yield name.length; }
      async sum(items: AsyncIterable<number>) { let all = 0; for await (const n of items) all += n; return all; }
      tell(when: Date) { when.getTime(); }
      helper() {}
    }
    services.push(implement(Greeter, new GreeterHandlers()));
    // @ts-expect-error a handler is missing
    class Incomplete implements HandlersOf<typeof Greeter> { hello(name: string) { return { text: name }; } }
    void Incomplete;
    // The options of a contract decide which methods have no reply.
    const tests = (await connect('tcp://127.0.0.1:1')).stub(Tests);
    export const nothing: void = await tests.test({ A: 'x' });
    // @ts-expect-error there is no reply
    export const A: string = (await tests.test({ A: 'x' })).A;
    // @ts-expect-error there is no reply
    (await tests.event({ A: 'x' })).A;
    export const sum: number = (await tests.add({ A: 1, B: 2 })).Sum;
    // Names that are not literals do not change the types.
    export const unknown: number = (await (await connect('')).stub(contract(TestService, { oneway: ['Event'] as string[] })).add({ A: 1 })).Sum;
    export const interceptor: Interceptor = (next) => (call) => next(call);
  `,
  'node.ts': `
    import { serve } from 'getty-ts/rpc';
    await using server = await serve('memory://', []);
    console.log(Buffer.from(server.address), AbortSignal.timeout(1_000), process.pid);
  `,
  'options.ts': `
    import { connect as dial, serve as listen } from 'getty-ts';
    import { type CallContext, connect, contract, type Interceptor, RpcError, retry, serve, unary } from 'getty-ts/rpc';
    import { consume, failover, provide } from 'getty-ts/micro';
    import { memory } from 'getty-ts/memory';
    import { etcd } from 'getty-ts/etcd';
    import { zookeeper } from 'getty-ts/zookeeper';
    declare const env: Record<string, string | undefined>;
    declare const timeout: number | undefined;
    declare const signal: AbortSignal | undefined;
    declare const parent: CallContext | undefined;
    const C = contract('C', { hello: unary<string, string>({ timeout }) }, { version: env.VERSION });
    const session = { name: env.NAME };
    const options = { timeout, onReady: undefined, tls: undefined, session };
    const client = await connect('tcp://127.0.0.1:1', options);
    await client.stub(C).hello('x', { signal, timeout, parent, metadata: undefined });
    export const server = serve('tcp://127.0.0.1:0', [], { introspection: undefined, timeout });
    const registry = memory();
    const group = env.GROUP;
    const strategy = failover({ attempts: timeout });
    export const consumer = consume({ registry, group, strategy });
    export const provider = provide({ registry, services: [], group, advertise: env.POD_IP });
    const limited: Interceptor = (next) => (call) => next(call.with({ timeout, signal }));
    export const interceptors: Interceptor[] = [retry({ attempts: timeout }), limited];
    export const error = new RpcError('NOT_FOUND', 'x', { metadata: undefined, details: undefined });
    const root = env.ROOT;
    export const registries = [
      etcd('http://127.0.0.1:2379', { root }),
      zookeeper('127.0.0.1:2181', { root }),
    ];
    export const ends = [dial, listen];
  `,
};

describe('the published types', () => {
  let folder: string;

  beforeAll(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'types-')));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    for (const [name, text] of Object.entries(PROGRAMS)) writeFileSync(join(folder, name), text);
    writeFileSync(
      join(folder, 'test_service_pb.ts'),
      readFileSync(join(ROOT, 'demo/test_service_pb.ts')),
    );
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test('are compiled with the options of README.md', () => {
    expect(README_OPTIONS.types).toEqual(['node']);
  });

  test('include the types of options', () => {
    expect(OPTIONS.length).toBeGreaterThan(30);
  });

  test.each(COMPILERS)('compile in programs with %s and %s', async (compiler, protobuf) => {
    const modules = join(ROOT, 'node_modules');
    const library = (path: string): string =>
      join(modules, protobuf, 'dist/esm', path, 'index.d.ts');
    const compilerOptions = {
      ...README_OPTIONS,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      noEmit: true,
      skipLibCheck: true,
      typeRoots: [join(modules, '@types')],
      paths: {
        ...Object.fromEntries(ENTRIES.map(([entry, file]) => [entry, [file]])),
        '@bufbuild/protobuf': [library('')],
        '@bufbuild/protobuf/*': [library('*')],
      },
    };
    const project = join(folder, compiler);
    mkdirSync(project);
    const config = join(project, 'tsconfig.json');
    writeFileSync(
      config,
      JSON.stringify({
        compilerOptions,
        files: Object.keys(PROGRAMS).map((name) => join(dirname(project), name)),
      }),
    );
    const tsc = join(modules, compiler, 'bin/tsc');
    const { stdout } = await promisify(execFile)(process.execPath, [tsc, '-p', config], {
      maxBuffer: 2 ** 26,
    }).catch((error: { stdout: string }) => error);
    expect(stdout).toBe('');
  });
});
