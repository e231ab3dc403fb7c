/**
 * Builds, runs vitest with the given arguments, and prints a last line: `N passed, N failed`. The
 * long tests run only with `--project long`, or when a file is named.
 */
import { mkdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, setup } from './setup.mjs';

setup();
process.chdir(ROOT);
const { parseCLI, startVitest } = await import('vitest/node');
const { filter, options } = parseCLI(['vitest', 'run', ...process.argv.slice(2)]);
if (filter.length === 0) options.project ??= ['!long'];
const isLong = [options.project].flat().includes('long');
const SUMMARY = join(ROOT, isLong ? 'build/long-tests.txt' : 'build/tests.txt');
mkdirSync(join(ROOT, 'build'), { recursive: true });
rmSync(SUMMARY, { force: true });
const vitest = await startVitest('test', filter, { ...options, run: true, watch: false });

const count = { passed: 0, failed: 0, skipped: 0, pending: 0 };
for (const module of vitest.state.getTestModules()) {
  const failedBefore = count.failed;
  for (const test of module.children.allTests()) {
    count[test.result().state]++;
  }
  // A file that could not be loaded, or whose hooks failed, has no failed test. It counts as one.
  if (count.failed === failedBefore && module.state() === 'failed') count.failed++;
}
// A test that did not end, because its worker died, counts as failed. So does an error outside of
// all tests.
count.failed += count.pending;
if (count.failed === 0 && vitest.state.getUnhandledErrors().length > 0) count.failed = 1;
if (count.failed > 0 || count.passed === 0) process.exitCode = 1;

const summary = `${count.passed} passed, ${count.failed} failed${count.skipped > 0 ? `, ${count.skipped} skipped` : ''}\n`;
process.on('exit', () => {
  writeFileSync(SUMMARY, summary);
  writeSync(1, summary);
});
await vitest.exit();
