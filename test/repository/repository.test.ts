/** Rules for the files of the whole repository. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

function textFiles(folder: string): string[] {
  if (!existsSync(join(ROOT, folder))) return [];
  const entries = readdirSync(join(ROOT, folder), { withFileTypes: true });
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.name === 'node_modules') return [];
    if (entry.isDirectory()) return textFiles(path);
    return /\.(ts|mjs|js|json|md|proto)$/.test(entry.name) && entry.name !== 'package-lock.json'
      ? [path]
      : [];
  });
}

test('no file has a path of one machine, a host of a package registry or an issue number', () => {
  const forbidden =
    /(?<![\w.*:/])\/(work|tmp|home|root|Users)\/|registry\.(npmjs|yarnpkg)\.|\bissue #\d/i;
  const documents = readdirSync(ROOT).filter(
    (name) => name.endsWith('.md') || name === 'package.json',
  );
  const files = [
    ...['src', 'demo', 'test', 'scripts', 'examples', 'bench', 'docs'].flatMap(textFiles),
    ...documents,
  ];
  const found = files.flatMap((file) => {
    const lines = read(file).split('\n');
    return lines.flatMap((line, at) =>
      forbidden.test(line) ? [`${file}:${at + 1} ${line.trim()}`] : [],
    );
  });
  expect(found).toEqual([]);
});

test('README has the number of programs in examples', () => {
  const entries = readdirSync(join(ROOT, 'examples'), { withFileTypes: true });
  const programs = entries.filter((entry) => entry.isDirectory() && entry.name !== 'node_modules');
  expect(/\| (\d+) programs;/.exec(read('README.md'))?.[1]).toBe(String(programs.length));
});

test('each dependency has an exact version, except @bufbuild/protobuf', () => {
  const manifest = JSON.parse(read('package.json'));
  const versions = [manifest.dependencies, manifest.devDependencies].flatMap((list) =>
    Object.entries<string>(list ?? {}),
  );
  const inexact = versions.filter(
    ([, version]) => !/^(npm:[@/\w-]+@)?\d+\.\d+\.\d+$/.test(version),
  );
  expect(inexact).toEqual([['@bufbuild/protobuf', '^2.7.0']]);
});

test.each(
  ['package-lock.json', 'bench/package-lock.json', 'test/runtimes/package-lock.json'].filter(
    (file) => existsSync(join(ROOT, file)),
  ),
)(
  '%s has no hosts and the packages of every platform (else run `node scripts/lock.mjs`)',
  (file) => {
    const text = read(file);
    expect(text).not.toContain('"resolved"');
    const packages: Record<string, { optionalDependencies?: Record<string, string> }> =
      JSON.parse(text).packages;
    const optional = Object.values(packages).flatMap((entry) =>
      Object.keys(entry.optionalDependencies ?? {}),
    );
    const paths = Object.keys(packages);
    expect(
      optional.filter((name) => !paths.some((path) => path.endsWith(`node_modules/${name}`))),
    ).toEqual([]);
  },
);
