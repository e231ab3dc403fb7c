/** The table of README.md: what works on which runtime. It follows from the known differences. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { AREAS, type Area } from './areas.js';
import { DIFFERENCES } from './differences.js';

/** The versions of Node.js that have a column. */
const NODE_VERSIONS = [20, 22, 24, 26];

/** The longest line of a document. */
const COLUMNS = 100;

const PACKAGES = resolve('test/runtimes/package.json');
const MARKED = /(<!-- runtimes -->\n)[\s\S]*?(<!-- \/runtimes -->)/;

/** The runtimes with a column, and the titles of the columns. */
function columns(): [runtime: string, title: string][] {
  const { dependencies } = JSON.parse(readFileSync(PACKAGES, 'utf8'));
  return [
    ...NODE_VERSIONS.map((major): [string, string] => [`node@${major}`, `Node.js ${major}`]),
    ['bun', `Bun ${dependencies.bun}`],
    ['deno', `Deno ${dependencies.deno}`],
  ];
}

/** The numbers of the differences, from 1, that concern the area. */
function notesOf(area: Area, runtime: string): number[] {
  return DIFFERENCES.flatMap((difference, index) =>
    difference.runtimes.includes(runtime) && difference.tests.some((id) => area.includes(id))
      ? [index + 1]
      : [],
  );
}

function cell(area: Area, runtime: string): string {
  const notes = notesOf(area, runtime);
  if (notes.length === 0) return 'yes';
  const isMissing = notes.some((note) => DIFFERENCES[note - 1]?.isWholeArea === true);
  return `${isMissing ? 'no' : 'yes, but'} [${notes.join(', ')}]`;
}

/** A list item in lines of at most 100 columns. */
function wrap(item: string): string {
  const lines = [''];
  for (const word of item.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line === '') lines[lines.length - 1] = word;
    else if (line.length + 1 + word.length <= COLUMNS) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(`   ${word}`);
  }
  return lines.join('\n');
}

function table(): string {
  const runtimes = columns();
  const rows = AREAS.map((area) => [
    area.title,
    ...runtimes.map(([runtime]) => cell(area, runtime)),
  ]);
  const lines = [['', ...runtimes.map(([, title]) => title)], ...rows].map((cells) =>
    `| ${cells.join(' | ')} |`.replace('|  |', '| |'),
  );
  lines.splice(1, 0, `|${'---|'.repeat(runtimes.length + 1)}`);
  const notes = DIFFERENCES.map(({ reason }, index) => wrap(`${index + 1}. ${reason}`));
  return [...lines, '', ...notes].join('\n');
}

/** The text of README.md with the table as it should be. Throws if there is no place for it. */
export function withTable(readme: string): string {
  if (!MARKED.test(readme))
    throw new Error('README.md has no <!-- runtimes --> … <!-- /runtimes -->');
  return readme.replace(MARKED, (_, open, close) => `${open}${table()}\n${close}`);
}
