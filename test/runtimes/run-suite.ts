/** Runs the suite on a runtime, and compares its results with the known differences. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { FILES } from './areas.js';
import type { Difference } from './differences.js';
import type { Runtime } from './runtimes.js';
import type { SuiteOptions, TestResult } from './suite.js';

/** Milliseconds until a test fails that does not end. */
const TIMEOUT = 120_000;
/** The same for a test that is expected to fail, and for each of its waits. */
const TIMEOUT_OF_DIFFERENCES = 5_000;
/** Milliseconds until a process that does not end is killed. */
const PROCESS_TIMEOUT = 1_200_000;
/** Characters of the output of a process that an error shows. */
const SHOWN_OUTPUT = 4_000;

export interface Outcome {
  readonly passed: number;
  /** How many tests failed as expected. */
  readonly failedAsExpected: number;
  /** What was not expected, one text for each test. */
  readonly unexpected: readonly string[];
}

interface Run {
  readonly results: readonly TestResult[];
  /** Why the process ended before its last test. Undefined: it did not. */
  readonly failure?: string;
}

async function runProcess(
  { command: [program, ...args] }: Runtime,
  options: SuiteOptions,
  env: NodeJS.ProcessEnv,
): Promise<Run> {
  const child = spawn(
    program,
    [...args, resolve(options.folder, 'runtimes/suite.js'), JSON.stringify(options)],
    {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: PROCESS_TIMEOUT,
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-SHOWN_OUTPUT);
    });
  const kill = (): void => void child.kill('SIGKILL');
  // Before the folder is removed, to which the process writes.
  process.prependOnceListener('exit', kill);
  const [code, signal] = await once(child, 'close');
  process.off('exit', kill);
  const lines = (await readFile(options.results, 'utf8').catch(() => '')).trim().split('\n');
  const results: TestResult[] = lines.filter((line) => line !== '').map((line) => JSON.parse(line));
  if (code === 0 && results.at(-1)?.state === 'end') return { results };
  const last = results.at(-1)?.id ?? 'none';
  return {
    results,
    failure: `the process ended with ${signal ?? code}; its last test: ${last}\n${output}`,
  };
}

/**
 * Runs all tests. Those that are expected to fail run in a second process, with short limits: they
 * may hang or leave servers behind, which must not disturb the others.
 * @param folder of the compiled files
 * @param differences the tests that are expected to fail
 */
export async function runSuite(
  runtime: Runtime,
  folder: string,
  differences: readonly Difference[],
): Promise<Outcome> {
  const expected = differences.flatMap(({ tests }) => tests);
  const resultsAt = (part: string): string => resolve(folder, `${runtime.name}-${part}.jsonl`);
  const all = { folder, files: FILES, results: resultsAt('all'), except: expected };
  const main = await runProcess(runtime, { ...all, timeout: TIMEOUT }, {});
  const unexpected = main.failure === undefined ? [] : [main.failure];
  for (const { id, state, error } of main.results)
    if (state === 'fail') unexpected.push(`${id} failed\n${error}`);
  const known = new Set(main.results.map(({ id }) => id));
  for (const id of expected)
    if (main.failure === undefined && !known.has(id))
      unexpected.push(`differences.ts has "${id}", but there is no such test`);
  const passed = main.results.filter(({ state }) => state === 'pass').length;
  if (expected.length === 0) return { passed, failedAsExpected: 0, unexpected };

  const unstable = differences.flatMap((one) => (one.isUnstable === true ? one.tests : []));
  const files = FILES.filter((file) => expected.some((id) => id.startsWith(`${file} > `)));
  const differing = await runProcess(
    runtime,
    {
      ...{ folder, files, results: resultsAt('differences'), except: [], only: expected },
      timeout: TIMEOUT_OF_DIFFERENCES,
    },
    { GETTY_TEST_PATIENCE: `${TIMEOUT_OF_DIFFERENCES}` },
  );
  for (const { id, state } of differing.results)
    if (state === 'pass' && !unstable.includes(id))
      unexpected.push(`${id} passed, but differences.ts says that it fails`);
  const failures = differing.results.filter(({ state }) => state === 'fail');
  return { passed, failedAsExpected: failures.length, unexpected };
}
