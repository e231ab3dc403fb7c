/**
 * `npm run simulate -- [--seeds N] [--seed S] [--hours H] [--trace]`: simulates providers,
 * consumers and a registry with random faults, and checks the history of all calls.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { ROOT, setup } from './setup.mjs';

setup();
// setup() may have installed it.
const { build } = await import('esbuild');

const folder = `${ROOT}build/simulation`;
const { outputFiles } = await build({
  absWorkingDir: ROOT,
  entryPoints: ['test/simulation/runner/main.ts'],
  bundle: true,
  write: false,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  packages: 'external',
  sourcemap: 'inline',
  logLevel: 'warning',
});
mkdirSync(folder, { recursive: true });
// A simulation that runs at the same time never loads a part of the file.
const fresh = `${folder}/main-${process.pid}.mjs`;
for (const { contents } of outputFiles) writeFileSync(fresh, contents);
renameSync(fresh, `${folder}/main.mjs`);
await import(`${folder}/main.mjs`);
