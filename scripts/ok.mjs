/**
 * The gate: every check, one line each; what failed is shown at the end. `--no-tests` leaves the
 * tests out.
 */
import { ROOT, run, setup, TSC } from './setup.mjs';

setup();
const bin = `${ROOT}node_modules/`;
/** @type {[name: string, ...args: string[]][]} */
const steps = [
  ['types', TSC],
  ['echo page', TSC, '-p', 'examples/echo-web/page'],
  ['rpc page', TSC, '-p', 'examples/rpc-web/page'],
  ['lint', `${bin}@biomejs/biome/bin/biome`, 'ci', '--error-on-warnings', '--colors=off'],
  ['dead code', `${bin}knip/bin/knip.js`, '--no-progress'],
  ['package', `${bin}publint/src/cli.js`, '--strict'],
  ['snippets', 'scripts/snippets.mjs', '--check'],
  ['line counts', 'scripts/lines.mjs', '--check'],
  ['speed', 'bench/guard.mjs'],
  // The layers' arrows, the error tables and the README's programs are tests: test/repository.
  ['tests', 'scripts/test.mjs'],
];

const failed = [];
for (const [name, ...args] of steps) {
  if (name === 'tests' && process.argv.includes('--no-tests')) continue;
  const start = performance.now();
  const { ok, output } = run(process.execPath, args);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const said =
    name === 'tests'
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
    ? 'all is well'
    : `\n${failed.length} failed: ${failed.map(({ name }) => name).join(', ')}`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
