// @ts-check
/**
 * `npm run bench -- NAME …` runs one benchmark. Without a name it runs transport and rpc in their
 * short form, with `--full` in their long form, and prints one report. `--json FILE` writes the
 * samples of both.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const NAMES = ['rpc', 'transport', 'codec'];
const REPORT = /** @type {const} */ (['transport', 'rpc']);

/**
 * Run a benchmark and return its exit code. Its report goes to stdout, its samples to `file`.
 * @param {string} name @param {boolean} full @param {string} file
 */
async function runOne(name, full, file) {
  const args = [
    ...process.execArgv,
    fileURLToPath(import.meta.url),
    name,
    ...(full ? [] : ['--short']),
    '--json',
    file,
  ];
  const child = spawn(process.execPath, args, { stdio: 'inherit' });
  // The child receives the signals of the terminal too, and ends its own processes.
  const stop = () => child.kill('SIGTERM');
  process.on('SIGINT', stop).on('SIGTERM', stop);
  const [code] = await once(child, 'exit');
  process.off('SIGINT', stop).off('SIGTERM', stop);
  return code ?? 130;
}

async function report() {
  const { values } = parseArgs({
    args: process.argv.slice(2),
    options: { full: { type: 'boolean', default: false }, json: { type: 'string' } },
  });
  const folder = mkdtempSync(join(tmpdir(), 'getty-bench-'));
  try {
    /** @type {Record<string, unknown>} */
    const results = {};
    let worst = 0;
    console.log('# Benchmarks');
    for (const name of REPORT) {
      console.log(`\n## ${name}\n`);
      const file = join(folder, `${name}.json`);
      const code = await runOne(name, values.full, file);
      if (code > 1) return code;
      worst = Math.max(worst, code);
      results[name] = JSON.parse(readFileSync(file, 'utf8'));
    }
    if (values.json !== undefined)
      writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
    return worst;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const [name = ''] = process.argv.slice(2);
if (NAMES.includes(name)) await import(`./${name}.mjs`);
else if (name === '' || name.startsWith('--')) {
  process.exitCode = await report().catch((error) => {
    console.error(
      `${error instanceof Error ? error.message : error}\nusage: npm run bench -- [${NAMES.join(' | ')}] [--full] [--json FILE]`,
    );
    return 2;
  });
} else {
  console.error(`bench: got ${JSON.stringify(name)}, expected ${NAMES.join(', ')} or nothing`);
  process.exitCode = 2;
}
