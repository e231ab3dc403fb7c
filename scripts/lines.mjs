/**
 * Updates the table of lines per folder of src, between the `<!-- lines -->` marks of README.md.
 *   node scripts/lines.mjs            writes the table
 *   node scripts/lines.mjs --check    fails when the table is out of date
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './setup.mjs';

const README = join(ROOT, 'README.md');
const MARKED = /(<!-- lines -->\n)[\s\S]*?(<!-- \/lines -->)/;
const ORDER = ['src/transport', 'src/rpc', 'src/micro', 'src/registries'];

/** @type {Map<string, { files: number, lines: number }>} */
const folders = new Map();
for (const file of readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })) {
  // Generated code does not count.
  if (!file.endsWith('.ts') || file.endsWith('_pb.ts')) continue;
  const folder = `src/${file.slice(0, file.indexOf('/'))}`;
  const sum = folders.get(folder) ?? { files: 0, lines: 0 };
  folders.set(folder, sum);
  sum.files++;
  sum.lines += readFileSync(join(ROOT, 'src', file), 'utf8').split('\n').length - 1;
}

/** @param {string} folder */
const rank = (folder) => (ORDER.includes(folder) ? `${ORDER.indexOf(folder)}` : `9${folder}`);
const rows = [...folders].sort(([a], [b]) => (rank(a) < rank(b) ? -1 : 1));
const all = { files: 0, lines: 0 };
for (const [, { files, lines }] of rows) {
  all.files += files;
  all.lines += lines;
}
rows.push(['all', all]);
const table = [
  '| folder | files | lines |',
  '|---|---:|---:|',
  ...rows.map(([name, { files, lines }]) => `| ${name} | ${files} | ${lines} |`),
];

const before = readFileSync(README, 'utf8');
const after = before.replace(MARKED, (_, open, close) => `${open}${table.join('\n')}\n${close}`);
if (!MARKED.test(before)) {
  console.error('README.md has no <!-- lines --> … <!-- /lines -->');
  process.exitCode = 1;
} else if (process.argv[2] !== '--check') {
  writeFileSync(README, after);
} else if (before !== after) {
  console.error('the lines per folder in README.md are out of date: run `npm run lines`');
  process.exitCode = 1;
}
