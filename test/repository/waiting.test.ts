/** Tests must wait for events. Finds code that makes a test fail on a slow machine. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const FOLDER = fileURLToPath(new URL('..', import.meta.url));

interface Mistake {
  readonly pattern: RegExp;
  /** What to do instead. */
  readonly instead: string;
  /** Files that may contain it, each with the reason. */
  readonly allowed: Readonly<Record<string, string>>;
}

const MISTAKES: Readonly<Record<string, Mistake>> = {
  'a sleep': {
    pattern: /\bsetTimeout\((?:resolve|r|done|\(\) => resolve\b)|node:timers\/promises/g,
    instead:
      'wait for the event with within(), until() or an Inbox; where time itself has an effect, use fakeTime() or elapse()',
    allowed: {
      'web/chromium.test.ts': 'code that runs in a page, which cannot import fixtures',
      'fixtures/registry-idler.mjs':
        'a separate program, with a limit for a list that may not arrive',
      'testing/simulation/simulate.test.ts': 'these timers are under test',
    },
  },
  'an upper bound of less than 10 s on a measured time': {
    pattern:
      /expect\(\s*(?:Math\.abs\()?(?:(?:performance|Date)\.now\(\) - \w+|elapsed|took|duration)\)*\s*\.toBeLessThan(?:OrEqual)?\((?!\d{2,3}_000\))/g,
    instead:
      'give the wrong outcome a long time instead (a timeout of 300 s), assert a lower bound or a count, or use fakeTime()',
    allowed: {},
  },
  'a wait with a short limit of its own': {
    pattern:
      /\b(?:within|until|eventually)\((?:[^;]|\n)*?['`],?\s*(?:\d{1,3}|\d_\d{3}|1\d_\d{3}|2\d_\d{3})\s*\)/g,
    instead:
      'leave the limit out: PATIENCE of test/fixtures/waiting.ts; for a process, PROCESS_PATIENCE',
    allowed: {},
  },
  'a time limit of a test below the one for all': {
    pattern:
      /['`\])], \{ timeout: (?:\d{1,5}|\d{1,2}_000|10\d_000|11\d_000) \}, (?:async )?\(|^ {0,4}\},\s(?:\d{1,5}|\d{1,2}_000)\);$/gm,
    instead: 'leave it out: testTimeout of vitest.config.ts',
    allowed: {},
  },
};

const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter(
  (name) =>
    /\.(ts|mjs)$/.test(name) &&
    !name.includes('node_modules') &&
    !/^repository.waiting\.test\.ts$/.test(name),
);
const textOf = (file: string): string => readFileSync(`${FOLDER}${file}`, 'utf8');

/** The numbers of the lines of `text` that have the mistake. */
function linesOf({ pattern }: Mistake, text: string): number[] {
  return [...text.matchAll(pattern)].map(({ index }) => text.slice(0, index).split('\n').length);
}

describe.each(Object.entries(MISTAKES))('%s', (_, mistake) => {
  test('is in no test', () => {
    const found = files
      .filter((file) => mistake.allowed[file.replaceAll('\\', '/')] === undefined)
      .flatMap((file) => linesOf(mistake, textOf(file)).map((line) => `test/${file}:${line}`));
    expect(found, mistake.instead).toEqual([]);
  });

  test('is in every file that may contain it', () => {
    expect(
      Object.keys(mistake.allowed).filter((file) => linesOf(mistake, textOf(file)).length === 0),
    ).toEqual([]);
  });
});

test.each([
  ['a sleep', 'await new Promise((resolve) => setTimeout(resolve, 20));'],
  ['a sleep', "import { setTimeout as sleep } from 'node:timers/promises';"],
  [
    'an upper bound of less than 10 s on a measured time',
    'expect(performance.now() - start).toBeLessThan(1_000);',
  ],
  [
    'an upper bound of less than 10 s on a measured time',
    'expect(elapsed).toBeLessThan(period + 200);',
  ],
  ['a wait with a short limit of its own', "await within(closed, 'the close', 500);"],
  [
    'a wait with a short limit of its own',
    "await until(\n  () => done,\n  'it is done',\n  10_000,\n);".replace(',\n);', ')'),
  ],
  ['a time limit of a test below the one for all', "it('x', { timeout: 30_000 }, async () => {"],
])('%s is found in %j', (name, text) => {
  expect(linesOf(MISTAKES[name] as Mistake, text)).toHaveLength(1);
});

test.each([
  'expect(took).toBeLessThan(10_000);',
  'expect(performance.now() - start).toBeGreaterThan(35);',
  "await within(closed, 'the close', PROCESS_PATIENCE);",
  'const timer = setTimeout(() => child.kill(), LIMIT);',
])('%j is accepted', (text) => {
  for (const mistake of Object.values(MISTAKES)) expect(linesOf(mistake, text)).toEqual([]);
});
