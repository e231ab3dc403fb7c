/** A part of the tests runs on Bun and Deno, and README.md says what works there. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { AREAS, FILES } from './areas.js';
import { DIFFERENCES } from './differences.js';
import { withTable } from './table.js';

/** Milliseconds. The first run installs the runtimes. */
const TIMEOUT = 1_800_000;

test.each(['bun', 'deno'])(
  'on %s all tests pass but those of the known differences',
  async (runtime) => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      'scripts/runtimes.mjs',
      runtime,
    ]).catch((error) => error);
    // The output has the unexpected results.
    expect(stdout).toMatch(
      new RegExp(
        `^${runtime} [\\d.]+: \\d{3,} passed, \\d+ failed as expected, 0 unexpected$`,
        'm',
      ),
    );
  },
  TIMEOUT,
);

test('README.md has the table of what works (else run `npm run runtimes -- --table`)', () => {
  const readme = readFileSync('README.md', 'utf8');
  expect(readme).toBe(withTable(readme));
});

test('every test that differs belongs to a file that runs and to one area', () => {
  for (const id of DIFFERENCES.flatMap(({ tests }) => tests)) {
    expect(FILES, id).toContain(id.split(' > ', 1).join());
    expect(AREAS.filter((area) => area.includes(id)).length, id).toBe(1);
  }
});
