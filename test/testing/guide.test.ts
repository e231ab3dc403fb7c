/** The programs of docs/testing.md are tests that pass. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const run = (...args: string[]): string =>
  execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });

const PROGRAMS = run('scripts/snippets.mjs', 'compile', 'docs/testing.md')
  .split('\n')
  .filter((path) => path.endsWith('.js'));
const isForVitest = (path: string): boolean => readFileSync(path, 'utf8').includes("from 'vitest'");

test('the guide has programs for both test runners', () => {
  expect(PROGRAMS.filter(isForVitest).length).toBeGreaterThan(2);
  expect(PROGRAMS.filter((path) => !isForVitest(path)).length).toBeGreaterThan(2);
});

/** A file beside the programs, where 'getty-ts' is the package that they import. */
const fileBeside = (name: string, text: string): string => {
  const path = join(dirname(PROGRAMS[0] as string), name);
  writeFileSync(path, text);
  return path;
};
const leakCheck = fileBeside('leak-check.js', "export { assertNoLeaks } from 'getty-ts/testing';");
const { assertNoLeaks } = (await import(pathToFileURL(leakCheck).href)) as {
  assertNoLeaks(): Promise<void>;
};

for (const path of PROGRAMS) {
  const name = `${basename(path, '.js')} of the guide`;
  // It throws with the output of the program if a test fails.
  if (!isForVitest(path)) test(name, () => void run('--test', path));
}

describe('with the leak check of the guide', () => {
  beforeEach(() => {
    onTestFinished(() => assertNoLeaks());
  });
  for (const path of PROGRAMS.filter(isForVitest))
    describe(basename(path, '.js'), () => import(pathToFileURL(path).href) as Promise<void>);

  test('all programs for node:test pass as one file', () => {
    const programs = PROGRAMS.filter((path) => !isForVitest(path));
    const combined = fileBeside(
      'combined.js',
      `${programs.map((path) => `import './${basename(path)}';`).join('\n')}
      import { afterEach } from 'node:test';
      import { assertNoLeaks } from 'getty-ts/testing';
      afterEach(() => assertNoLeaks());`,
    );
    expect(run('--test', combined)).toMatch(/^[#ℹ] fail 0$/m);
  });
});
