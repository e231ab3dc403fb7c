/** The files of the page, which the build writes into `dist/console`. */
import { readFile } from 'node:fs/promises';
import { messageOf } from '../../../core/errors.js';

export interface PageFile {
  readonly type: string;
  readonly content: Buffer;
}

const FILES = [
  ['/', 'index.html', 'text/html; charset=utf-8'],
  ['/page.js', 'page.js', 'text/javascript; charset=utf-8'],
  ['/page.css', 'page.css', 'text/css; charset=utf-8'],
  ['/icon.svg', 'icon.svg', 'image/svg+xml'],
] as const;

/** The same folder for `src` and for `dist`: `dist/console` of the package. */
const FOLDER = new URL('../../../../dist/console/', import.meta.url);

/** The files by their path. Rejects if the package was not built. */
export async function readPageFiles(): Promise<ReadonlyMap<string, PageFile>> {
  try {
    return new Map(
      await Promise.all(
        FILES.map(async ([path, name, type]) => {
          const content = await readFile(new URL(name, FOLDER));
          return [path, { type, content }] as const;
        }),
      ),
    );
  } catch (error) {
    throw new Error(`the page of the console cannot be read: ${messageOf(error)}`);
  }
}
