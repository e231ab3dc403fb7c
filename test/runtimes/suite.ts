/**
 * Runs compiled test files in the present runtime, with the test runner of vitest, but without its
 * server and worker processes. Each result is a line of JSON at the end of a file.
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { startTests, type Task, type Test, type VitestRunner } from '@vitest/runner';
import { isLeftOut } from './areas.js';

/** The only argument of this program, as JSON. */
export interface SuiteOptions {
  /** The folder of the compiled test files. */
  readonly folder: string;
  /** Their paths in the folder, without an extension. */
  readonly files: readonly string[];
  /** The file of results. */
  readonly results: string;
  /** The ids of tests that do not run. */
  readonly except: readonly string[];
  /** The ids of the only tests that run. Undefined: all. */
  readonly only?: readonly string[];
  /** Milliseconds until a test fails that does not end. */
  readonly timeout: number;
}

export interface TestResult {
  /** `path/of/file > suite > test`. */
  readonly id: string;
  /** `except`: one of SuiteOptions.except. `end`: no test, but the line after the last one. */
  readonly state: 'pass' | 'fail' | 'except' | 'end';
  readonly error?: string;
}

const options: SuiteOptions = JSON.parse(process.argv[2] ?? '');

// vi and expect() of vitest read these properties of a worker.
Object.assign(globalThis, {
  __vitest_worker__: { config: { fakeTimers: {}, expect: {} }, providedContext: {} },
});

function report(result: TestResult): void {
  appendFileSync(options.results, `${JSON.stringify(result)}\n`);
}

/** vitest puts the names of describe.each() into quotes. */
const nameOf = ({ name }: Task): string => name.replace(/^'(.*)'$/, '$1');

function idOf(task: Task): string {
  const { suite, file } = task;
  return `${suite === undefined || suite === file ? pathOf(file.filepath) : idOf(suite)} > ${nameOf(task)}`;
}

/** The path of a compiled file in the folder, without its extension. */
const pathOf = (file: string): string =>
  file
    .slice(options.folder.length + 1)
    .replaceAll('\\', '/')
    .replace(/\.test\.js$/, '');

/** Leaves out the tests that are not wanted. Returns whether any test of the task is left. */
function select(task: Task): boolean {
  if (task.type === 'test') {
    const id = idOf(task);
    if (task.mode === 'run' && options.except.includes(id)) {
      report({ id, state: 'except' });
      task.mode = 'skip';
    }
    if (isLeftOut(id) || options.only?.includes(id) === false) task.mode = 'skip';
    return task.mode === 'run';
  }
  const isLeft = task.tasks.map(select).includes(true);
  // The hooks of a suite run even if none of its tests does.
  if (!isLeft) task.mode = 'skip';
  return isLeft;
}

function reportTest(test: Test): void {
  const { state, errors } = test.result ?? {};
  if (state === 'pass') report({ id: idOf(test), state });
  if (state === 'fail') {
    const error = errors?.map(({ message, stack }) => `${message}\n${stack ?? ''}`).join('\n');
    report({ id: idOf(test), state, error });
  }
}

const runner: VitestRunner = {
  config: {
    root: options.folder,
    setupFiles: [],
    name: undefined,
    passWithNoTests: false,
    testNamePattern: undefined,
    allowOnly: true,
    sequence: { shuffle: false, concurrent: false, seed: 0, hooks: 'stack', setupFiles: 'list' },
    chaiConfig: undefined,
    maxConcurrency: 1,
    testTimeout: options.timeout,
    hookTimeout: options.timeout,
    retry: 0,
    includeTaskLocation: undefined,
    diffOptions: undefined,
    tags: [],
    tagsFilter: undefined,
    strictTags: false,
  },
  importFile: (path) => import(pathToFileURL(path).href),
  onCollected: (files) => {
    for (const file of files) select(file);
  },
  onAfterRunTask: reportTest,
};

const paths = options.files.map((file) => join(options.folder, `${file}.test.js`));
for (const { filepath, result } of await startTests(paths, runner)) {
  // Such as an error of an import.
  for (const { message, stack } of result?.errors ?? [])
    report({ id: pathOf(filepath), state: 'fail', error: `${message}\n${stack ?? ''}` });
}
report({ id: '', state: 'end' });
// A test that fails may leave a server.
process.exit();
