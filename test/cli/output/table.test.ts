/** Tables of text. */
import { expect, test } from 'vitest';
import { type Column, tableLines } from '../../../src/cli/output/table.js';

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
