/**
 * Compiles and runs the TypeScript in README.md and docs: blocks that begin with
 * ```ts, optionally followed by `name=NAME` or `nocheck`.
 *   node scripts/snippets.mjs --check      compiles all blocks
 *   node scripts/snippets.mjs run NAME     compiles and runs the block NAME of README.md
 *   node scripts/snippets.mjs run NAME docs/rpc.md      the same of another document
 *   node scripts/snippets.mjs compile docs/testing.md   prints the paths of its compiled blocks
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT, run, setup, TSC } from './setup.mjs';

/**
 * @typedef {{ document: string, name: string, line: number, code: string, checked: boolean }} Block
 */

/**
 * @param {string} document
 * @returns {Block[]}
 */
function blocksOf(document) {
  const text = readFileSync(join(ROOT, document), 'utf8');
  return [...text.matchAll(/^```ts\b(.*)\n([\s\S]*?)^```/gm)].map(
    ({ 1: info = '', 2: code = '', index }) => {
      const line = text.slice(0, index).split('\n').length + 1;
      return {
        document,
        line,
        code,
        name: /\bname=(\S+)/.exec(info)?.[1] ?? `line-${line}`,
        checked: !/\bnocheck\b/.test(info),
      };
    },
  );
}

/**
 * Compile blocks in build/snippets/FOLDER, where 'getty-ts' resolves to this package. The line
 * numbers of errors are those of the document.
 * @param {Block[]} blocks
 * @param {string} folder
 */
function compile(blocks, folder) {
  const path = join(ROOT, 'build/snippets', folder);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  const compilerOptions = { noEmit: false, noUnusedLocals: false, rootDir: '.', outDir: '.' };
  writeFileSync(
    join(path, 'tsconfig.json'),
    JSON.stringify({
      extends: '../../../tsconfig.json',
      compilerOptions,
      include: ['.'],
      exclude: [],
    }),
  );
  for (const { document, name, line, code } of blocks) {
    const file = join(path, `${document}-${name}.ts`);
    mkdirSync(dirname(file), { recursive: true });
    // Empty lines give the code the line numbers of the document.
    writeFileSync(file, '\n'.repeat(line - 1) + code);
  }
  const { ok, output } = run(process.execPath, [TSC, '-p', path, '--pretty', 'false']);
  if (ok) return path;
  console.error(output.replaceAll(/build\/snippets\/[^/]+\/(\S+?\.md)-\S+?\.ts(?=\()/g, '$1'));
  process.exit(1);
}

setup();
const [mode, name, document = 'README.md'] = process.argv.slice(2);
if (mode === '--check') {
  const docs = readdirSync(join(ROOT, 'docs')).filter((file) => file.endsWith('.md'));
  const blocks = ['README.md', ...docs.map((file) => `docs/${file}`)]
    .flatMap(blocksOf)
    .filter(({ checked }) => checked);
  compile(blocks, 'check');
  console.log(`${blocks.length} snippets compile`);
} else if (mode === 'compile' && name !== undefined) {
  const blocks = blocksOf(name);
  const path = compile(blocks, `compile-${name.replaceAll(/\W/g, '-')}`);
  for (const block of blocks) console.log(join(path, `${name}-${block.name}.js`));
} else {
  const blocks = blocksOf(document).filter((block) => !block.name.startsWith('line-'));
  const block = blocks.find((other) => other.name === name);
  if (mode !== 'run' || block === undefined) {
    const names = blocks.map((other) => other.name);
    console.error(
      name === undefined
        ? `usage: npm run hello -- NAME, with a program of ${document} as NAME: ${names.join(', ')}`
        : `program: got ${JSON.stringify(name)}, expected one of ${document}: ${names.join(', ')}`,
    );
    process.exit(1);
  }
  await import(
    pathToFileURL(
      join(
        compile([block], `run-${document.replaceAll(/\W/g, '-')}-${name}`),
        `${document}-${name}.js`,
      ),
    ).href
  );
}
