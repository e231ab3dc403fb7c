/** Commands that build the repository may run at the same time. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const SETUP = new URL('../../scripts/setup.mjs', import.meta.url).href;
const FOLDERS = 5;
const FILES = 40;

test('a folder that several processes replace at once is complete, and no temporary folder is left', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'getty-setup-'));
  try {
    const program = `
      import { mkdirSync, writeFileSync } from 'node:fs';
      import { replaceFolder } from ${JSON.stringify(SETUP)};
      for (let round = 0; round < 5; round++) {
        const fresh = 'fresh-' + process.pid;
        for (let folder = 0; folder < ${FOLDERS}; folder++) {
          mkdirSync(fresh + '/' + folder, { recursive: true });
          for (let file = 0; file < ${FILES}; file++) writeFileSync(fresh + '/' + folder + '/' + file, '');
        }
        replaceFolder(fresh, 'dist');
      }`;
    const run = () =>
      promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
        cwd: directory,
      });
    await Promise.all(Array.from({ length: 4 }, run));
    expect(readdirSync(directory)).toEqual(['dist']);
    for (let folder = 0; folder < FOLDERS; folder++)
      expect(readdirSync(join(directory, 'dist', String(folder))).length).toBe(FILES);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
