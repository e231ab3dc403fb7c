/**
 * Updates the help of the commands in docs/cli.md, in the blocks between `<!-- getty … --help -->`
 * and `<!-- /help -->`.
 *   node scripts/cli-help.mjs            writes the blocks
 *   node scripts/cli-help.mjs --check    fails when a block is out of date
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { ROOT, setup } from './setup.mjs';

const GUIDE = join(ROOT, 'docs/cli.md');
const MARKED = /(<!-- getty (.*?)--help -->\n)[\s\S]*?(<!-- \/help -->)/g;

setup();
const { createProgram } = await import('../dist/cli/program.js');

/**
 * The output of `getty WORDS --help`.
 * @param {string[]} words
 */
function helpOf(words) {
  const output = new PassThrough({ encoding: 'utf8' });
  const program = createProgram({
    input: process.stdin,
    output,
    errors: output,
    signal: new AbortController().signal,
    environment: {},
  });
  try {
    program.parse([...words, '--help'], { from: 'user' });
  } catch (error) {
    if (/** @type {{ exitCode?: number }} */ (error).exitCode !== 0) throw error;
  }
  return output.read().trim();
}

const before = readFileSync(GUIDE, 'utf8');
const after = before.replace(MARKED, (_, open, command, close) => {
  const words = command.trim().split(' ').filter(Boolean);
  return `${open}\`\`\`\n${helpOf(words)}\n\`\`\`\n${close}`;
});
if (process.argv[2] !== '--check') {
  writeFileSync(GUIDE, after);
} else if (before !== after) {
  console.error('the help in docs/cli.md is out of date: run `node scripts/cli-help.mjs`');
  process.exitCode = 1;
}
