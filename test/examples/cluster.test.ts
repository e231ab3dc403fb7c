/** examples/cluster: its worker processes and its output. No speed is asserted. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Program, runExample } from '../fixtures/programs.js';

/** The directory of the program for temporary files. */
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'getty-cluster-test-'));
  vi.stubEnv('TMPDIR', folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const start = (seconds: number, ...args: string[]): Program =>
  runExample('cluster', '--seconds', `${seconds}`, '--rounds', '1', '--in-flight', '4', ...args);

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Asserts that all workers have ended and no file is left. Returns the number of workers. */
function expectNothingLeft({ lines }: Program): number {
  const pids = lines.all
    .flatMap((line) => /^worker-\d+ is process (\d+)/.exec(line)?.[1] ?? [])
    .map(Number);
  expect(pids.filter(isRunning)).toEqual([]);
  expect(readdirSync(folder)).toEqual([]);
  return pids.length;
}

describe.each<[way: string, ...args: string[]]>([['a registry'], ['one port', '--shared-port']])(
  'by %s',
  (_, ...args) => {
    it('calls every worker without a failure', async () => {
      await using program = start(0.4, '--workers', '3', ...args);
      expect(await program.ended, program.lines.all.join('\n')).toBe(0);
      const [rates = '', spread = ''] = program.lines.all.slice(-2);
      expect(rates).toMatch(/^\d+ calls\/s with 1 worker, \d+ with 3: [\d.]+ times as many$/);
      const [, ...shares] =
        /^failed 0; spread: worker-1 (\d+) %, worker-2 (\d+) %, worker-3 (\d+) %$/.exec(spread) ??
        [];
      expect(shares, spread).toHaveLength(3);
      // On a busy machine Node.js may give one worker no connection of a shared port.
      const called = shares.filter((share) => Number(share) > 0).length;
      expect(called, spread).toBeGreaterThanOrEqual(args.includes('--shared-port') ? 2 : 3);
      expect(expectNothingLeft(program)).toBe(3);
    });

    it('starts a killed worker again without a failed call', async () => {
      await using program = start(1, '--workers', '2', ...args);
      const pid = await program.line(/^worker-2 is process (\d+)/);
      await program.line(/^2 workers: /);
      process.kill(Number(pid), 'SIGKILL');
      expect(await program.line(/^worker-2 ended with (.*)/)).toBe('SIGKILL, and is started again');
      expect(await program.ended, program.lines.all.join('\n')).toBe(0);
      expect(program.lines.all.at(-1)).toMatch(/^failed 0; /);
      expectNothingLeft(program);
    });
  },
);

it.each<
  [signal: 'SIGINT' | 'SIGTERM', code: number, seconds: number, when: RegExp, ...args: string[]]
>([
  ['SIGINT', 130, 1, /^worker-2 is process/],
  ['SIGTERM', 143, 60, /^worker-1 is process/, '--shared-port'],
])('ends every process after %s', async (signal, code, seconds, when, ...args) => {
  await using program = start(seconds, ...args);
  await program.line(when);
  program.child.kill(signal);
  expect(await program.ended, program.lines.all.join('\n')).toBe(code);
  expect(program.lines.all.join('\n')).not.toMatch(/error|a call failed|times as many/i);
  expectNothingLeft(program);
});

it.each([
  ['--workers', '1', 'from 2 to 64'],
  ['--rounds', '1.5', 'from 1 to 1000000'],
  ['--seconds', 'soon', 'from 0.1 to 3600'],
])('rejects %s %s', async (option, value, expected) => {
  await using program = runExample('cluster', option, value);
  expect(await program.ended).toBe(1);
  expect(program.lines.all).toEqual([`cluster: ${option}: got ${value}, expected ${expected}`]);
  expect(expectNothingLeft(program)).toBe(0);
});
