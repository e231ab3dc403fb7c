/** docs/cli.md, the guide to the command line. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { getty } from './run-getty.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const GUIDE = readFileSync(`${ROOT}docs/cli.md`, 'utf8');

test('the guide has the help of each command, as it is now', async () => {
  await promisify(execFile)(process.execPath, ['scripts/cli-help.mjs', '--check'], { cwd: ROOT });
  const { stdout } = await getty('completion', 'bash', '--json');
  for (const { name } of JSON.parse(stdout).commands) {
    expect(GUIDE).toContain(`<!-- getty ${name} --help -->\n\`\`\`\nUsage: getty ${name} `);
    expect(GUIDE).toMatch(new RegExp(`^\\| \\[.*\\]\\(#.*\\) \\| \`getty ${name}\` \\|$`, 'm'));
  }
});
