/** Bundles a program of the tests and runs it, as the scripts of `npm run` do. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { ROOT, setup } from './setup.mjs';

/**
 * @param {string} entry the path of the program
 * @param {string} folder where the bundle `main.mjs` is written
 */
export async function runBundled(entry, folder) {
  setup();
  // setup() may have installed it.
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    sourcemap: 'inline',
    logLevel: 'warning',
  });
  mkdirSync(`${ROOT}${folder}`, { recursive: true });
  // A program that runs at the same time never loads a part of the file.
  const fresh = `${ROOT}${folder}/main-${process.pid}.mjs`;
  for (const { contents } of outputFiles) writeFileSync(fresh, contents);
  renameSync(fresh, `${ROOT}${folder}/main.mjs`);
  await import(`${ROOT}${folder}/main.mjs`);
}
