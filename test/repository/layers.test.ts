/** The arrows between the layers, read from every import of src. */
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
  /** A path relative to src, or a bare name as it is written. */
  readonly to: string;
  readonly bare: boolean;
  /** Erased by the compiler: `import type`. An `import { type A }` is not, it still loads the module. */
  readonly erased: boolean;
}

const FILES = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const STATIC = /^\s*(?:import|export)\s+(type\s+)?(?:[\w$*{}\s,]+?\sfrom\s+)?['"]([^'"]+)['"]/gm;
const DYNAMIC = /\bimport\(\s*['"]([^'"]+)['"]/g;

function importsOf(from: string): Import[] {
  const text = readFileSync(join(ROOT, 'src', from), 'utf8');
  const found = [...text.matchAll(STATIC)].map((match) => ({ name: match[2] as string, erased: match[1] !== undefined }));
  for (const match of text.matchAll(DYNAMIC)) found.push({ name: match[1] as string, erased: false });
  return found.map(({ name, erased }) => {
    const bare = !name.startsWith('.');
    return { from, to: bare ? name : posix.join(dirname(from), name).replace(/\.js$/, '.ts'), bare, erased };
  });
}

const IMPORTS = FILES.flatMap(importsOf);

/** The layer of a file: its folder, and for registries and adapters the folder below. */
function roomOf(file: string): string {
  const [first = '', second] = file.split('/');
  if (second === undefined) return first;
  if (first === 'adapters') return `adapters/${second}`;
  if (first === 'registries') return second === 'index.ts' ? 'registries' : `registries/${second.replace(/\.ts$/, '')}`;
  return first;
}

/** The part of micro that is made for registries. */
const MICRO_FOR_REGISTRIES = ['micro/types.ts', 'micro/registry-entry.ts', 'micro/snapshots.ts'];
/** What programs may import: the files behind package.json's exports. */
const PUBLIC = Object.values(MANIFEST.exports)
  .map((entry) => (entry as { default?: string }).default)
  .filter((path) => path !== undefined)
  .map((path) => path.replace('./dist/', '').replace(/\.js$/, '.ts'));

/** Which rooms a room may enter, besides itself and core. A new room gets its line here. */
const ARROWS: Record<string, (to: string, found: Import) => boolean> = {
  core: () => false,
  transport: () => false,
  rpc: (to) => to === 'transport',
  web: (to, { from }) => to === 'transport' || (to === 'rpc' && (from === 'web/rpc.ts' || from === 'web/protobuf.ts')),
  micro: (to, { to: file, erased }) => to === 'rpc' || (to === 'transport' && (erased || file === 'transport/address.ts')),
  'registries/*': (to, found) => to === 'transport' || to === 'registries/shared' || MICRO_FOR_REGISTRIES.includes(found.to),
  registries: (to, found) => to.startsWith('registries/') || MICRO_FOR_REGISTRIES.includes(found.to),
  'adapters/*': (_, found) => found.to === 'rpc/index.ts',
  cli: (_, found) => PUBLIC.includes(found.to),
};

function allowed(found: Import): boolean {
  const from = roomOf(found.from);
  const to = roomOf(found.to);
  if (from === to || to === 'core') return true;
  return ARROWS[from.replace(/^(adapters|registries)\/.*/, '$1/*')]?.(to, found) ?? false;
}

const show = ({ from, to }: Import): string => `src/${from} imports ${to}`;

/** The first cycle of imports that load each other, as a path; undefined when there is none. */
function findCycle(imports: readonly Import[]): string[] | undefined {
  const next = new Map<string, string[]>();
  for (const { from, to, bare, erased } of imports) if (!bare && !erased) next.set(from, [...(next.get(from) ?? []), to]);
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
  test('every import within src is found where the compiler would find it', () => {
    expect(IMPORTS.filter(({ to, bare }) => !bare && !FILES.includes(to)).map(show)).toEqual([]);
    expect(IMPORTS.length).toBeGreaterThan(FILES.length);
  });

  test('the arrows go down only', () => {
    expect(IMPORTS.filter((found) => !found.bare && !allowed(found)).map(show)).toEqual([]);
  });

  test('an arrow that goes up would be seen', () => {
    const wrong: [from: string, to: string][] = [
      ['transport/session/session.ts', 'rpc/types.ts'],
      ['transport/index.ts', 'rpc/index.ts'],
      ['core/errors.ts', 'transport/types.ts'],
      ['transport/client.ts', 'web/websocket.ts'],
      ['web/index.ts', 'rpc/index.ts'],
      ['rpc/client.ts', 'micro/types.ts'],
      ['micro/consumer.ts', 'transport/stream/tcp.ts'],
      ['micro/consumer.ts', 'registries/memory.ts'],
      ['registries/file/index.ts', 'registries/memory.ts'],
      ['registries/etcd/index.ts', 'registries/file/index.ts'],
      ['registries/file/index.ts', 'micro/consumer.ts'],
      ['registries/file/index.ts', 'rpc/index.ts'],
      ['cli/flags.ts', 'rpc/contract/router.ts'],
      ['adapters/prometheus/index.ts', 'rpc/metrics/statistics.ts'],
      ['adapters/opentelemetry/index.ts', 'transport/types.ts'],
      ['adapters/opentelemetry/index.ts', 'adapters/prometheus/index.ts'],
      ['rpc/index.ts', 'adapters/prometheus/index.ts'],
      ['newroom/index.ts', 'rpc/index.ts'],
    ];
    for (const [from, to] of wrong) expect([from, to, allowed({ from, to, bare: false, erased: false })]).toEqual([from, to, false]);
  });

  test('no files load each other in a circle', () => {
    expect(findCycle(IMPORTS)).toBeUndefined();
  });

  test('a circle would be seen', () => {
    const edge = (from: string, to: string, erased = false): Import => ({ from, to, bare: false, erased });
    expect(findCycle([edge('a', 'b'), edge('b', 'c'), edge('c', 'b')])).toEqual(['b', 'c', 'b']);
    expect(findCycle([edge('a', 'b'), edge('b', 'a', true)])).toBeUndefined();
  });

  test('the demo imports the package by its name, and of its internals core and cli alone', () => {
    const files = readdirSync(join(ROOT, 'demo')).filter((file) => file.endsWith('.ts'));
    const names = files.flatMap((file) => [...readFileSync(join(ROOT, 'demo', file), 'utf8').matchAll(STATIC)].map((match) => match[2] as string));
    expect(names).toContain(`${MANIFEST.name}/micro`);
    const isAllowed = (name: string): boolean => /^(\.\/|node:|@bufbuild\/|#getty\/(core|cli)\/)/.test(name) || name.startsWith(`${MANIFEST.name}/`);
    expect(names.filter((name) => !isAllowed(name))).toEqual([]);
  });

  test("node's own modules are imported as node:, all else is a dependency", () => {
    const dependencies = [MANIFEST.dependencies, MANIFEST.peerDependencies, MANIFEST.optionalDependencies].flatMap((list) => Object.keys(list ?? {}));
    const packageOf = (name: string): string => name.split('/', name.startsWith('@') ? 2 : 1).join('/');
    const known = (name: string): boolean =>
      name.startsWith('node:') ? builtinModules.includes(name.slice(5)) || name === 'node:test' : dependencies.includes(packageOf(name));
    expect(IMPORTS.filter(({ to, bare }) => bare && !known(to)).map(show)).toEqual([]);
  });
});
