/**
 * `npm run grid -- [--only TEXT] [--all] [--list] [--json FILE] [--report FILE]`: runs providers,
 * consumers and registries as processes, makes faults, and checks all calls.
 */
import { ROOT, setup } from './setup.mjs';

setup();
// setup() may have installed it.
const { build } = await import('esbuild');

const outfile = `${ROOT}build/grid/main.mjs`;
await build({
  absWorkingDir: ROOT,
  entryPoints: ['test/grid/main.ts'],
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
