/**
 * Updates the help of the commands in docs/cli.md, in the blocks between `<!-- getty … --help -->`
 * and `<!-- /help -->`.
 *   node scripts/cli-help.mjs            writes the blocks
 *   node scripts/cli-help.mjs --check    fails when a block is out of date
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, run, setup } from './setup.mjs';

const GUIDE = join(ROOT, 'docs/cli.md');
const MARKED = /(<!-- getty (.*?)--help -->\n)[\s\S]*?(<!-- \/help -->)/g;

setup();
const before = readFileSync(GUIDE, 'utf8');
const after = before.replace(MARKED, (_, open, command, close) => {
  const words = command.trim().split(' ').filter(Boolean);
  const { ok, output } = run(process.execPath, ['dist/cli/main.js', ...words, '--help']);
  if (!ok) throw new Error(`getty ${command} --help failed: ${output}`);
  return `${open}\`\`\`\n${output.trim()}\n\`\`\`\n${close}`;
});
if (process.argv[2] !== '--check') {
  writeFileSync(GUIDE, after);
} else if (before !== after) {
  console.error('the help in docs/cli.md is out of date: run `node scripts/cli-help.mjs`');
  process.exitCode = 1;
}
