/** The exceptions of each transport are names of behaviors in test/transport/behavior. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { SIMULATED_TRANSPORTS, TRANSPORTS } from '../fixtures/transports.js';

const FOLDER = new URL('../transport/behavior/', import.meta.url);
const TESTS = readdirSync(FOLDER)
  .map((file) => readFileSync(new URL(file, FOLDER), 'utf8'))
  .join('\n');

test.each([...TRANSPORTS, ...SIMULATED_TRANSPORTS])(
  'the exceptions of $name name existing behaviors',
  ({ except }) => {
    const isBehavior = (name: string): boolean =>
      [`'${name}'`, `"${name}"`].some((quoted) => TESTS.includes(quoted));
    expect(Object.keys(except).filter((name) => !isBehavior(name))).toEqual([]);
  },
);
