/** `npm run simulate`: many seeds in several processes. */
import { expect, test } from 'vitest';
import { runProgram } from '../fixtures/programs.js';
import { FAULTS } from './faults.js';
import { INJECTED_BUGS } from './injected-bugs.js';

/** Minutes, because the processes that run beside it can take most of the time. */
const TIMEOUT = 30 * 60_000;

/** Runs `npm run simulate` with these arguments. */
async function simulate(...args: string[]): Promise<{ code: number | null; text: string }> {
  await using program = runProgram('scripts/simulate.mjs', ...args);
  const code = await program.ended;
  return { code, text: program.lines.all.join('\n') };
}

const hashIn = (text: string): string => /^trace hash +([0-9a-f]{64})$/m.exec(text)?.[1] ?? text;

test('200 seeds violate nothing', { timeout: TIMEOUT }, async () => {
  const { code, text } = await simulate('--seeds', '200', '--hours', '0.01');
  // The text names the seeds that failed, and the commands that repeat them.
  expect(code, text).toBe(0);
  expect(text).toMatch(/^seeds +200$/m);
  expect(text).toMatch(/^violations +0$/m);
  for (const fault of FAULTS) expect(text).toMatch(new RegExp(`[:,] ${fault} [1-9]`));
  expect(text).toMatch(/^kinds of calls +\d+, each of which has succeeded$/m);
});

test('the same seeds give the same traces, in any process', { timeout: TIMEOUT }, async () => {
  const args = ['--seed', '7', '--seeds', '3', '--hours', '0.005'];
  const inOne = await simulate(...args, '--processes', '1');
  const inThree = await simulate(...args, '--processes', '3');
  const others = await simulate('--seed', '8', '--seeds', '3', '--hours', '0.005');
  expect(hashIn(inOne.text)).toMatch(/^[0-9a-f]{64}$/);
  expect(hashIn(inThree.text)).toBe(hashIn(inOne.text));
  expect(hashIn(others.text)).not.toBe(hashIn(inOne.text));
});

test('a violation gives exit code 1, the command that repeats it, and its trace', async () => {
  const [bug] = Object.keys(INJECTED_BUGS) as [string];
  const args = ['--seeds', '2', '--seed', '4', '--hours', '0.001', '--bug', bug];
  const { code, text } = await simulate(...args);
  expect(code).toBe(1);
  expect(text).toContain('seed 4 FAILED:');
  expect(text).toContain(`npm run simulate -- --seed 5 --hours 0.001 --bug '${bug}'`);
  expect(text).toMatch(/^the trace of seed 4: .*seed-4-hours-0\.001\.trace$/m);
  expect(text).toMatch(/^violations +2, of the seeds [45], [45]$/m);
  expect(text).not.toContain('does not repeat');
});

test.each([
  [['--seeds', '0'], '--seeds: got 0, expected an integer from 1'],
  [['--sed=7'], "Unknown option '--sed'"],
])('a wrong option gives one line and the usage, and exit code 2: %j', async (args, message) => {
  const { code, text } = await simulate(...args);
  expect(code).toBe(2);
  expect(text).toContain(`${message}\nusage: npm run simulate -- [options]\n`);
  expect(text).not.toMatch(/^ {4}at /m);
});

test('--help prints the usage, with exit code 0', async () => {
  const { code, text } = await simulate('--help');
  expect(code).toBe(0);
  expect(text).toMatch(/^usage: npm run simulate -- \[options\]\n {2}--seeds N /m);
});

test('Ctrl-C ends all processes, with one line and exit code 130', {
  timeout: TIMEOUT,
}, async () => {
  const [bug] = Object.keys(INJECTED_BUGS) as [string];
  const args = ['--seeds', '10000', '--hours', '0.001', '--processes', '2', '--bug', bug];
  await using program = runProgram('scripts/simulate.mjs', ...args);
  await program.line(/^seed \d+ FAILED:$/);
  program.child.kill('SIGINT');
  // The end of the last process that has its output.
  expect(await program.ended).toBe(130);
  const { all } = program.lines;
  expect(all.at(-1)).toMatch(
    /^interrupted: \d+ of 10000 seeds ran, violations: \d+, of the seeds /,
  );
  expect(all.filter((line) => /^ {4}at |ERR_IPC|its process ended/.test(line))).toEqual([]);
});
