/** Functions that programs can import refuse wrong arguments with a code and a name. */
import { expect, test } from 'vitest';
import { codeOf } from '../../src/core/errors.js';
import { noLeaks } from '../fixtures/leaks.js';
import { publicTypes } from '../fixtures/public-types.js';
import { refusal, useUnusedServer } from './option-functions.js';
import { FUNCTIONS, type Kind, MODULES, WITHOUT_ROW } from './public-functions.js';
import { METHODS, METHODS_WITHOUT_ROW } from './public-methods.js';

noLeaks();
useUnusedServer();

const WRONG: Readonly<Record<Kind, unknown>> = {
  undefined: undefined,
  null: null,
  number: 5,
  text: 'no such thing',
  symbol: Symbol('a'),
  object: {},
  array: [],
  function: () => {},
};
const CODES = ['BAD_OPTION', 'BAD_ADDRESS'];

test('each function that programs can import has a row', () => {
  const names = Object.values(MODULES).flatMap((module) =>
    Object.entries(module).flatMap(([name, value]) => (typeof value === 'function' ? [name] : [])),
  );
  expect(
    names.filter((name) => FUNCTIONS[name] === undefined && !WITHOUT_ROW.includes(name)),
  ).toEqual([]);
});

test('each method of an object that the package makes has a row', () => {
  const owners = new Set(Object.keys(METHODS).map((name) => name.split('.')[0]));
  const methods = publicTypes().members.filter((name) => owners.has(name.split('.')[0]));
  expect(
    methods.filter((name) => METHODS[name] === undefined && !METHODS_WITHOUT_ROW.includes(name)),
  ).toEqual([]);
});

test.each(Object.entries({ ...FUNCTIONS, ...METHODS }))(
  '%s refuses wrong arguments',
  async (_, row) => {
    const faults: string[] = [];
    for (let at = 0; at < row.accepted.length; at++) {
      for (const [kind, wrong] of Object.entries(WRONG) as [Kind, unknown][]) {
        if (row.accepted[at]?.includes(kind)) continue;
        const given = [...row.valid];
        given[at] = wrong;
        const error = await refusal(() => row.call(...given)).catch((missing) => missing);
        if (!CODES.includes(`${codeOf(error)}`)) faults.push(`${at} ${kind}: ${error}`);
      }
    }
    expect(faults).toEqual([]);
  },
);
