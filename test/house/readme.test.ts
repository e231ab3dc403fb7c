/** README's programs do what README says, and the documents' snippets compile. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

async function snippets(...args: string[]): Promise<string | undefined> {
  const { stdout } = await promisify(execFile)(process.execPath, ['scripts/snippets.mjs', ...args], { cwd: ROOT });
  return stdout.trim().split('\n').at(-1);
}

test.each([
  ['echo', 'hello'],
  ['rpc', 'hello, world'],
  ['micro', 'hello, world'],
])('the program %s prints "%s" and ends', async (name, lastLine) => {
  expect(await snippets('run', name)).toBe(lastLine);
});

test('every snippet of the documents compiles', async () => {
  expect(await snippets('--check')).toMatch(/^\d+ snippets compile$/);
});
