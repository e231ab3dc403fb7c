/**
 * `npm run simulate -- [--seeds N | --seed S] [--hours H] [--trace]`: simulates providers,
 * consumers and a registry with random faults, and checks the history of all calls.
 */
import { build } from 'esbuild';
import { ROOT } from './setup.mjs';

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
