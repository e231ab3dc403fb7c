/**
 * Runs all checks, and prints one line for each and the output of those that failed. `--no-tests`
 * skips the tests.
 */
import { ROOT, run, setup, TSC } from './setup.mjs';

setup();
const bin = `${ROOT}node_modules/`;
/** @type {[name: string, ...args: string[]][]} */
const steps = [
  ['types', TSC],
  ['echo page', TSC, '-p', 'examples/echo-web/page'],
  ['rpc page', TSC, '-p', 'examples/rpc-web/page'],
  ['console', TSC, '-p', 'src/cli/console/page'],
  ['lint', `${bin}@biomejs/biome/bin/biome`, 'ci', '--error-on-warnings', '--colors=off'],
  ['dead code', `${bin}knip/bin/knip.js`, '--no-progress'],
  ['package', `${bin}publint/src/cli.js`, '--strict'],
  ['snippets', 'scripts/snippets.mjs', '--check'],
  ['line counts', 'scripts/lines.mjs', '--check'],
  ['speed', 'bench/guard.mjs'],
  // test/repository checks the imports of the layers, the tables of errors, and README's programs.
  ['tests', 'scripts/test.mjs'],
  ['long tests', 'scripts/test.mjs', '--project', 'long'],
];

const failed = [];
for (const [name, ...args] of steps) {
  if (name.endsWith('tests') && process.argv.includes('--no-tests')) continue;
  const start = performance.now();
  const { ok, output } = run(process.execPath, args);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const said = name.endsWith('tests')
    ? output.match(/^\d+ passed, .*$/gm)
    : name === 'speed'
      ? output.trim().split('\n')
      : [];
  console.log(
    `${ok ? 'ok    ' : 'FAILED'}  ${name.padEnd(11)} ${seconds.padStart(5)} s  ${said?.at(-1) ?? ''}`.trimEnd(),
  );
  if (!ok) failed.push({ name, output });
}
for (const { name, output } of failed) console.log(`\n---- ${name} ----\n${output.trim()}`);
console.log(
  failed.length === 0
    ? 'all checks passed'
    : `\n${failed.length} failed: ${failed.map(({ name }) => name).join(', ')}`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
