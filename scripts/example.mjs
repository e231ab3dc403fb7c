/**
 * `npm run example -- NAME ARGS…` runs examples/NAME/main.ts, which it compiles, or main.mjs, which
 * has packages of its own.
 */
import { cpSync, existsSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { fingerprint, install, ROOT, run, setup, TSC } from './setup.mjs';

/**
 * Compile examples/ to a folder that belongs to their current state, and return it. 'getty-ts'
 * resolves to this package there. A running example keeps the folder of its own state.
 */
function compileExamples() {
  const out = join(ROOT, 'build/examples', fingerprint('examples'));
  if (existsSync(out)) return out;
  const fresh = `${out}-${process.pid}`;
  const { ok, output } = run(process.execPath, [
    TSC,
    '-p',
    'examples',
    '--outDir',
    fresh,
    '--pretty',
    'false',
  ]);
  if (!ok) {
    console.error(output);
    process.exit(1);
  }
  // The example bundles its page for the browser.
  for (const name of readdirSync(join(ROOT, 'examples'))) {
    const page = join(ROOT, 'examples', name, 'page');
    const filter = (/** @type {string} */ path) => !path.endsWith('tsconfig.json');
    if (existsSync(page)) cpSync(page, join(fresh, name, 'page'), { recursive: true, filter });
  }
  if (!existsSync(out)) renameSync(fresh, out);
  return out;
}

/**
 * The file of an example, if there is one.
 * @param {string} name
 */
function mainOf(name) {
  const files = ['main.ts', 'main.mjs'].map((file) => join(ROOT, 'examples', name, file));
  return files.find((file) => existsSync(file));
}

/**
 * The usage of an example, from the comment at the top of its file.
 * @param {string} source
 */
function usageOf(source) {
  const [, comment = ''] = /^\/\*\*\n(.*?)\n \*\//s.exec(source) ?? [];
  return comment.replace(/^ \* ?/gm, '').replace(/\n+(?= +npm run)/, '\n\nusage:\n');
}

/**
 * Print the usage of an example and end this process, for `--help` and for invalid flags.
 * @param {string} name
 * @param {string} main
 * @param {string[]} args
 */
async function checkFlags(name, main, args) {
  const source = [main, join(ROOT, 'examples', name, 'program.mjs')]
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  /** @type {typeof import('../src/cli/flags.js')} */
  const { parseFlags } = await import(pathToFileURL(join(ROOT, 'dist/cli/flags.js')).href);
  /** @type {Record<string, { type: 'string' | 'boolean' }>} */
  const flags = Object.fromEntries(
    [...source.matchAll(/([\w-]+)'?: \{ type: '(string|boolean)'/g)].map(([, flag, type]) => [
      flag,
      { type },
    ]),
  );
  try {
    if (!parseFlags(args, { ...flags, help: { type: 'boolean', short: 'h' } }).help) return;
    console.log(usageOf(source));
    process.exit(0);
  } catch (error) {
    console.error(`${/** @type {Error} */ (error).message}\n\n${usageOf(source)}`);
    process.exit(2);
  }
}

setup();
const names = readdirSync(join(ROOT, 'examples')).filter((name) => mainOf(name) !== undefined);
const name = process.argv[2] ?? '';
const main = names.includes(name) ? mainOf(name) : undefined;
if (main === undefined) {
  console.error(
    `example: got ${JSON.stringify(name)}, expected one of ${names.join(', ')}\nusage: npm run example -- NAME [FLAGS]; --help after the name shows its flags`,
  );
  process.exit(2);
}
await checkFlags(name, main, process.argv.slice(3));
if (main.endsWith('.mjs')) install(join(ROOT, 'examples', name));
const program = main.endsWith('.mjs') ? main : join(compileExamples(), name, 'main.js');
process.argv.splice(1, 2, program);
await import(pathToFileURL(program).href);
