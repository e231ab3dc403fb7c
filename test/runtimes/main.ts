/** `npm run runtimes`: runs a part of the tests on other runtimes. */
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { compile } from './compile.js';
import { differencesOf } from './differences.js';
import { runSuite } from './run-suite.js';
import { findRuntime } from './runtimes.js';
import { withTable } from './table.js';

const USAGE = `usage: npm run runtimes -- [RUNTIME…] [--table]
  RUNTIME   node, bun, deno, or another Node.js such as node@24, which npm downloads;
            default: node bun deno
  --table   only updates the table of README.md
  --help    prints this text`;

function fail(message: string): never {
  console.error(`${message}\n${USAGE}`);
  process.exit(2);
}

function parseArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        table: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    // Further lines are about parseArgs().
    return fail((error as Error).message.split('\n', 1).join());
  }
}

const { values, positionals } = parseArguments();
if (values.help) {
  console.log(USAGE);
  process.exit();
}
if (values.table) {
  await writeFile('README.md', withTable(await readFile('README.md', 'utf8')));
  process.exit();
}
const names = positionals.length > 0 ? positionals : ['node', 'bun', 'deno'];
const invalid = names.find((name) => !/^(node(@\d+)?|bun|deno)$/.test(name));
if (invalid !== undefined)
  fail(`RUNTIME: got "${invalid}", expected node, node@MAJOR, bun or deno`);

// The process of a suite ends with this one.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
// Below the root of the repository, where packages are found.
const parent = resolve('build/runtimes');
await mkdir(parent, { recursive: true });
const folder = await mkdtemp(join(parent, 'run-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
await compile(folder);
for (const given of names) {
  const runtime = await findRuntime(given);
  const { passed, failedAsExpected, unexpected } = await runSuite(
    runtime,
    folder,
    differencesOf(runtime.name),
  );
  console.log(
    `${runtime.name} ${runtime.version}: ${passed} passed, ${failedAsExpected} failed as expected, ${unexpected.length} unexpected`,
  );
  for (const text of unexpected) console.log(`  ${text.trimEnd().replaceAll('\n', '\n    ')}`);
  if (unexpected.length > 0) process.exitCode = 1;
}
