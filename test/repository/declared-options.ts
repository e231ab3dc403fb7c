/** The names of the options that the sources declare. */
import { readdirSync, readFileSync } from 'node:fs';

const SRC = new URL('../../src/', import.meta.url);
const MANIFEST = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
const sourceOf = (path: string): string => readFileSync(new URL(path, SRC), 'utf8');

/** The text of a module and of the modules that it exports with `export *`. */
function exportsOf(path: string): string {
  const text = sourceOf(path);
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  return [
    text,
    ...[...text.matchAll(/^export \* from '\.\/(.*)\.js'/gm)].map(([, name]) =>
      exportsOf(`${folder}${name}.ts`),
    ),
    ...exportsOfParent(text, folder),
  ].join('\n');
}

/** The same for modules in the parent folder. */
function exportsOfParent(text: string, folder: string): string[] {
  return [...text.matchAll(/^export \* from '\.\.\/(.*)\.js'/gm)].map(([, name]) =>
    exportsOf(`${folder.replace(/[^/]+\/$/, '')}${name}.ts`),
  );
}

const ENTRIES = Object.values<{ default?: string }>(MANIFEST.exports).flatMap(
  ({ default: path }) => (path === undefined ? [] : [path]),
);
/** The text of all modules that programs can import. */
const PUBLIC = ENTRIES.map((path) =>
  exportsOf(path.replace('./dist/', '').replace(/\.js$/, '.ts')),
).join('\n');

/** The types of options that programs can import, with the names that each type declares. */
export const DECLARED_OPTIONS = new Map<string, string[]>();
for (const path of readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) =>
  name.endsWith('.ts'),
)) {
  for (const [, name = '', body = ''] of sourceOf(path).matchAll(
    /^export interface (\w+(?:Options|Setup|Listener))\b[^{]*\{(?:\}|\n([\s\S]*?)^\})$/gm,
  )) {
    const isPublic = new RegExp(
      `^export (?:interface ${name}\\b|(?:type )?\\{[^}]*\\b${name}\\b)`,
      'm',
    ).test(PUBLIC);
    if (isPublic)
      DECLARED_OPTIONS.set(
        name,
        [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm)].map(([, member = '']) => member),
      );
  }
}
