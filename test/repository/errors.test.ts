/** docs/errors.md lists every error code, and no other. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const quoted = (text: string): string[] =>
  [...text.matchAll(/'([A-Z_]+)'/g)].map((match) => match[1] as string);

/** The part of a source file from `begin` to the first `end` after it. */
function part(text: string, begin: string, end: string): string {
  const from = text.indexOf(begin);
  expect(from, `no "${begin}"`).toBeGreaterThanOrEqual(0);
  return text.slice(from, text.indexOf(end, from));
}

const codes = [
  ...quoted(part(read('src/core/errors.ts'), 'export type ErrorCode', ';')),
  ...quoted(part(read('src/core/errors.ts'), 'export const RPC_CODES', ']')),
];
const rows = [...read('docs/errors.md').matchAll(/^\| `([A-Z_]+)` \|/gm)].map(
  (match) => match[1] as string,
);

test('docs/errors.md has one row for each code', () => {
  expect(codes.length).toBeGreaterThan(30);
  expect([...rows].sort()).toEqual([...codes].sort());
});
