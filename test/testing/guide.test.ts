/** The programs of docs/testing.md are tests that pass. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';

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

for (const path of PROGRAMS) {
  const name = `${basename(path, '.js')} of the guide`;
  if (isForVitest(path)) describe(name, () => import(pathToFileURL(path).href) as Promise<void>);
  // It throws with the output of the program if a test fails.
  else test(name, () => void run('--test', path));
}
