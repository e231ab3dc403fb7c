/** The files of the page, as the package has them. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';

const FOLDER = fileURLToPath(new URL('../../../dist/console/', import.meta.url));
const SOURCE = fileURLToPath(new URL('../../../src/cli/console/page/', import.meta.url));
const KIB = 1024;
const read = (name: string): string => readFileSync(FOLDER + name, 'utf8');

test('the page has at most 100 KiB, compressed', () => {
  const files = readdirSync(FOLDER);
  expect(files.sort()).toEqual(['icon.svg', 'index.html', 'page.css', 'page.js', 'uplot.LICENSE']);
  const sizes = files.map((name) => gzipSync(read(name), { level: 9 }).length);
  expect(sizes.reduce((sum, size) => sum + size)).toBeLessThanOrEqual(100 * KIB);
});

test('the page imports nothing, and names no other host', () => {
  const code = read('page.js');
  // The text of "Copy as TypeScript" has spaces after the word.
  expect(code).not.toMatch(/\bimport[{("'*]|\brequire\(/);
  expect(read('page.css')).not.toMatch(/url\(|@import/);
  expect(read('index.html')).not.toMatch(/https?:/);
  expect(read('uplot.LICENSE')).toContain('MIT License');
});

test('the source of the page makes no HTML of text, and sets no style attribute', () => {
  const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' });
  const found = files
    .filter((name) => name.endsWith('.ts'))
    .filter((name) =>
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\bstyle:|eval\(/.test(
        readFileSync(SOURCE + name, 'utf8'),
      ),
    );
  expect(found).toEqual([]);
});
