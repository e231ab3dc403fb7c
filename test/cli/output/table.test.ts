/** Tables of text. */
import { describe, expect, test } from 'vitest';
import { type Column, fitScreen, tableLines } from '../../../src/cli/output/table.js';

interface Row {
  readonly name: string;
  readonly calls?: number | undefined;
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'NAME', cell: ({ name }) => name },
  { title: 'CALLS', cell: ({ calls }) => calls },
  { title: 'META', cell: ({ name }) => name.slice(1) },
];

test('texts are aligned to the left, and numbers to the right', () => {
  const rows = [
    { name: 'a', calls: 1 },
    { name: 'longer', calls: 1000000 },
    { name: '日本', calls: undefined },
  ];
  expect(tableLines(rows, COLUMNS)).toEqual([
    'NAME      CALLS  META',
    'a             1',
    'longer  1000000  onger',
    '日本               本',
  ]);
});

test('a table without rows has its titles', () => {
  expect(tableLines([], COLUMNS)).toEqual(['NAME  CALLS  META']);
});

test('a cell is on one line, without control characters', () => {
  const [, line] = tableLines([{ name: 'a\n\u001b[2J' }], COLUMNS);
  expect(line).toBe('a\\u000a\\u001b[2J         \\u000a\\u001b[2J');
});

describe('fitScreen()', () => {
  const screen = { head: ['head'], body: ['1', '2', '3'], foot: ['total'] };

  test('leaves one row for the cursor, and shortens the body', () => {
    expect(fitScreen(screen)).toEqual(['head', '1', '2', '3', 'total']);
    expect(fitScreen(screen, { columns: 80, rows: 6 })).toEqual(['head', '1', '2', '3', 'total']);
    expect(fitScreen(screen, { columns: 80, rows: 4 })).toEqual(['head', '1', 'total']);
    expect(fitScreen(screen, { columns: 80, rows: 2 })).toEqual(['head']);
    expect(fitScreen(screen, { columns: 80, rows: 1 })).toEqual(['head']);
  });

  test('cuts each line to the columns', () => {
    const lines = { head: ['日本語です'], body: [], foot: ['abc'] };
    expect(fitScreen(lines, { columns: 3, rows: 9 })).toEqual(['日本…', 'abc']);
  });
});
