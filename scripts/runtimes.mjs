/**
 * `npm run runtimes -- [RUNTIME…] [--table]`: runs a part of the tests on Node.js, Bun and Deno.
 */
import { install, ROOT, setup } from './setup.mjs';

setup();
const given = process.argv.slice(2);
if (given.length === 0 || given.includes('bun') || given.includes('deno'))
  install(`${ROOT}test/runtimes`);
// setup() may have installed it.
const { build } = await import('esbuild');

const outfile = `${ROOT}build/runtimes/main.mjs`;
await build({
  absWorkingDir: ROOT,
  entryPoints: ['test/runtimes/main.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  packages: 'external',
  sourcemap: 'inline',
  logLevel: 'warning',
});
process.chdir(ROOT);
await import(outfile);
