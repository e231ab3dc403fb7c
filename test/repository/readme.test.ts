/** The programs of README and the guides print the described output. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

async function snippets(...args: string[]): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['scripts/snippets.mjs', ...args],
    { cwd: ROOT },
  );
  return stdout.trim().split('\n');
}

/** The output that a document shows after the program `name`. */
function outputOf(document: string, name: string): string[] {
  const text = readFileSync(`${ROOT}${document}`, 'utf8');
  const [, output = ''] =
    new RegExp(
      `^\`\`\`ts name=${name}\\n[\\s\\S]*?^\`\`\`\\n\\n\`\`\`\\n([\\s\\S]*?)^\`\`\``,
      'm',
    ).exec(text) ?? [];
  return output.trim().split('\n');
}

test.each([
  ['echo', 'hello'],
  ['rpc', 'hello, world'],
  ['micro', 'hello, world'],
])('the program %s prints "%s" and ends', async (name, lastLine) => {
  expect((await snippets('run', name)).at(-1)).toBe(lastLine);
});

test.each([
  ['first', ['hello, world']],
  ['errors', outputOf('docs/rpc.md', 'errors')],
  ['metadata', ['from north-2', 'hello, Ann']],
  ['streams', ['1', '2', '3', 'sum 6', '20', '40']],
  ['back', ['Ann is fine']],
  ['http-server', ['hello, world']],
  ['auth', outputOf('docs/rpc.md', 'auth')],
])('the program %s of docs/rpc.md prints %j and ends', async (name, lines) => {
  expect(await snippets('run', name, 'docs/rpc.md')).toEqual(lines);
});

test.each([
  ['http-server', ['hello']],
  ['health', ['503', '200']],
])('the program %s of docs/transport.md prints %j and ends', async (name, lines) => {
  expect(await snippets('run', name, 'docs/transport.md')).toEqual(lines);
});

test.each([
  ['port', ['532']],
  ['stdio', ['the child got hello']],
])('the program %s of docs/ports.md prints %j and ends', async (name, lines) => {
  expect(await snippets('run', name, 'docs/ports.md')).toEqual(lines);
});

test.each([
  [[], 'usage: npm run hello -- NAME, with a program of README.md as NAME: echo, rpc, micro\n'],
  [['nope'], 'program: got "nope", expected one of README.md: echo, rpc, micro\n'],
])('without a known program, %j, the message says how to run one', async (args, stderr) => {
  await expect(snippets('run', ...args)).rejects.toMatchObject({ code: 1, stderr });
});
