/** The options of `npm run grid`. */
import { expect, test } from 'vitest';
import { runProgram } from '../fixtures/programs.js';

const USAGE = 'usage: npm run grid -- [options]';

/** `message`: the line before the usage. Earlier ones are of a build. */
async function grid(
  ...args: string[]
): Promise<{ code: number | null; message: string | undefined; lines: readonly string[] }> {
  await using program = runProgram('scripts/grid.mjs', ...args);
  const code = await program.ended;
  const lines = program.lines.all;
  return { code, message: lines[lines.indexOf(USAGE) - 1], lines };
}

test('--help prints the usage, with exit code 0', async () => {
  const { code, lines } = await grid('--help');
  expect(code).toBe(0);
  expect(lines).toContain(USAGE);
  for (const name of ['only', 'all', 'list', 'jobs', 'keep', 'json', 'report', 'help'])
    expect(lines.filter((line) => line.startsWith(`  --${name} `))).toHaveLength(1);
});

test.each([
  [['--onyl', 'SIGKILL'], /^Unknown option '--onyl'/],
  [['--jobs', '0'], /^--jobs: got 0, expected an integer from 1$/],
  [['--jobs', '-1'], /^Option '--jobs' argument is ambiguous/],
  [['--report', 'no-such-file.json'], /^--report: ENOENT/],
])('a wrong option gives one line and the usage, and exit code 2: %j', async (args, expected) => {
  const { code, message, lines } = await grid(...args);
  expect(code).toBe(2);
  expect(message).toMatch(expected);
  expect(lines.filter((line) => line.startsWith('    at '))).toEqual([]);
});

test('prints a line before the first cell', async () => {
  await using program = runProgram('scripts/grid.mjs', '--only', 'SIGKILL', '--jobs', '1');
  await program.line(/^starting \d+ cells, 1 at once$/);
  // The first SIGINT ends the run after its cells, the second one at once.
  program.child.kill('SIGINT');
  await program.line(/^ending after the cells that run/);
});
