/** Compiles the examples and runs one: `npm run example -- NAME ARGS…` runs examples/NAME/main.ts. */
import { cpSync, existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { fingerprint, ROOT, run, setup, TSC } from './setup.mjs';

/** Compile examples/ to a folder of this state of theirs, where 'getty' means this package; whoever runs an older state keeps it. */
function compileExamples() {
  const out = join(ROOT, 'build/examples', fingerprint('examples'));
  if (existsSync(out)) return out;
  const fresh = `${out}-${process.pid}`;
  const { ok, output } = run(process.execPath, [TSC, '-p', 'examples', '--outDir', fresh, '--pretty', 'false']);
  if (!ok) {
    console.error(output);
    process.exit(1);
  }
  // A page is for the browser: its example bundles it.
  for (const name of readdirSync(join(ROOT, 'examples'))) {
    const page = join(ROOT, 'examples', name, 'page');
    const filter = (/** @type {string} */ path) => !path.endsWith('tsconfig.json');
    if (existsSync(page)) cpSync(page, join(fresh, name, 'page'), { recursive: true, filter });
  }
  if (!existsSync(out)) renameSync(fresh, out);
  return out;
}

setup();
const names = readdirSync(join(ROOT, 'examples')).filter((name) => existsSync(join(ROOT, 'examples', name, 'main.ts')));
const name = process.argv[2] ?? '';
if (!names.includes(name)) {
  console.error(`example: given ${JSON.stringify(name)}, expected one of ${names.join(', ')}`);
  process.exit(1);
}
const folder = compileExamples();
process.argv.splice(1, 2, join(folder, name, 'main.js'));
await import(pathToFileURL(/** @type {string} */ (process.argv[1])).href);
