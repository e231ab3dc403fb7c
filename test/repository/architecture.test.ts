/** The tables of ARCHITECTURE.md, CONTRIBUTING.md and the READMEs of src name code that exists. */
import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The files with `ending` in the folders, by their paths in the repository. */
function filesIn(folders: readonly string[], ending: string): string[] {
  return folders.flatMap((folder) =>
    readdirSync(`${ROOT}${folder}`, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith(ending))
      .map((file) => posix.join(folder, file.replaceAll('\\', '/'))),
  );
}

const DOCUMENTS = ['ARCHITECTURE.md', 'CONTRIBUTING.md', ...filesIn(['src'], 'README.md')];
const SOURCES = filesIn(['src', 'test'], '.ts');

/** The text between backticks in the rows of the tables of `document`. */
function codeIn(document: string): string[] {
  const rows = readFileSync(`${ROOT}${document}`, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|'));
  return rows.flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map((match) => match[1] as string));
}

/** The words of the code, without those of its comments; `#` begins the name of a private one. */
function wordsOf(file: string): Set<string> {
  const code = readFileSync(`${ROOT}${file}`, 'utf8')
    .replace(/^ *\/\*\*?[\s\S]*?\*\//gm, '')
    .replace(/^ *\/\/.*$/gm, '');
  return new Set(code.match(/#?[\w$]+/g));
}

const WORDS = SOURCES.map(wordsOf);

/**
 * Whether `text` looks like a name (`Class.member`, `name()`, or a name with a capital) and no file
 * has all its parts.
 */
function isMissingName(text: string): boolean {
  const name = text.replace(/\(\)$/, '');
  const isName = /^[A-Za-z$][\w$]*(\.#?[\w$]+)*$|^#[\w$]+$/.test(name);
  if (!isName || (name === text && !/[A-Z]/.test(name))) return false;
  const parts = name.split('.');
  return !WORDS.some((words) => parts.every((one) => words.has(one)));
}

/** Whether `text` looks like the path of a source file that does not exist. */
function isMissingFile(text: string): boolean {
  return (
    /^[\w/.-]+\.ts$/.test(text) &&
    !SOURCES.some((file) => file === text || file.endsWith(`/${text}`))
  );
}

test.each(DOCUMENTS)('the tables of %s name code and files that exist', (document) => {
  const code = codeIn(document);
  expect(code).not.toEqual([]);
  expect(code.filter((text) => isMissingName(text) || isMissingFile(text))).toEqual([]);
});

test('a name or file that does not exist is found', () => {
  // Composed here, because this file is one of those that are searched.
  const unknown = ['Tea', 'Pot'].join('');
  expect(isMissingName(unknown)).toBe(true);
  expect(isMissingName(`RpcChannel.#${unknown}`)).toBe(true);
  expect(isMissingName('RpcChannel.onMessage')).toBe(false);
  expect(isMissingFile(`${unknown}.ts`)).toBe(true);
  expect(isMissingFile('transport/types.ts')).toBe(false);
});
