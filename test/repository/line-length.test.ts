/** Code and prose are at most 100 columns wide. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const COLUMNS = 100;
const FILES = execFileSync('git', ['ls-files'], { cwd: ROOT, encoding: 'utf8' }).split('\n');

/** The lines of a file that are longer than COLUMNS and that `mayBeLong` does not allow. */
function longLines(file: string, mayBeLong: (line: string) => boolean): string[] {
  const lines = readFileSync(join(ROOT, file), 'utf8').split('\n');
  return lines.flatMap((line, at) =>
    line.length > COLUMNS && !mayBeLong(line) ? [`${file}:${at + 1}`] : [],
  );
}

test('lines of code have at most 100 columns, except where one literal is longer', () => {
  const code = FILES.filter((file) => /\.(ts|mjs)$/.test(file) && !file.endsWith('_pb.ts'));
  const isComment = (line: string): boolean => /^\s*(\/\/|\/?\*)/.test(line);
  const hasLiteral = (line: string): boolean => !isComment(line) && /['"`/<]/.test(line);
  expect(code.flatMap((file) => longLines(file, hasLiteral))).toEqual([]);
});

test('lines of prose have at most 100 columns, except tables and headings', () => {
  const prose = FILES.filter((file) => file.endsWith('.md'));
  const isTable = (line: string): boolean => /^\s*(\||#)/.test(line);
  expect(prose.flatMap((file) => longLines(file, isTable))).toEqual([]);
});
