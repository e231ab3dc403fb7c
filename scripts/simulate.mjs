/**
 * `npm run simulate -- [--seeds N] [--seed S] [--hours H] [--trace]`: simulates providers,
 * consumers and a registry with random faults, and checks the history of all calls.
 */
import { ROOT, setup } from './setup.mjs';

setup();
// setup() may have installed it.
const { build } = await import('esbuild');

const outfile = `${ROOT}build/simulation/main.mjs`;
await build({
  absWorkingDir: ROOT,
  entryPoints: ['test/simulation/main.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  packages: 'external',
  sourcemap: 'inline',
  logLevel: 'warning',
});
await import(outfile);
