/** Compiles the test files, so that every runtime can run them without a loader. */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { FILES } from './areas.js';

/** Fixtures find their data relative to their source. */
const keepUrls: Plugin = {
  name: 'keep-urls',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, async ({ path }) => ({
      loader: 'ts',
      contents: (await readFile(path, 'utf8')).replaceAll(
        'import.meta.url',
        JSON.stringify(pathToFileURL(path).href),
      ),
    }));
  },
};

/** Writes the test files to `folder`, with suite.js beside them in `runtimes`. */
export async function compile(folder: string): Promise<void> {
  await build({
    entryPoints: [
      'test/runtimes/suite.ts',
      ...FILES.map((file) => join('test', `${file}.test.ts`)),
    ],
    outdir: resolve(folder),
    outbase: 'test',
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'es2022',
    packages: 'external',
    plugins: [keepUrls],
    logLevel: 'warning',
  });
}
