/** Reading the file of an entry: its size, and what is no regular file. */
import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_ENTRY_BYTES } from '../../../src/micro/registry-entry.js';
import { readEntryFile } from '../../../src/registries/file/entry-file.js';
import { within } from '../../fixtures/waiting.js';
import { directory, useDirectory } from './directory.js';

const read = (name: string): Promise<string> =>
  within(readEntryFile(join(directory, name)), `the end of reading ${name}`);

describe('readEntryFile()', () => {
  useDirectory();
  beforeEach(() => mkdir(directory));

  it('returns the text of a file of at most MAX_ENTRY_BYTES', async () => {
    const text = 'ä'.repeat(MAX_ENTRY_BYTES / 2);
    await writeFile(join(directory, 'empty'), '');
    await writeFile(join(directory, 'full'), text);
    expect(await read('empty')).toBe('');
    expect((await read('full')) === text).toBe(true);
  });

  it('rejects a file above MAX_ENTRY_BYTES and a folder', async () => {
    await writeFile(join(directory, 'large'), 'x'.repeat(MAX_ENTRY_BYTES + 1));
    await mkdir(join(directory, 'folder'));
    await expect(read('large')).rejects.toThrow(`at most ${MAX_ENTRY_BYTES} are read`);
    await expect(read('folder')).rejects.toThrow('not a regular file');
  });

  it.skipIf(process.platform === 'win32')(
    'follows no link, and does not wait for the writer of a named pipe',
    async () => {
      await symlink('/dev/zero', join(directory, 'link'));
      execFileSync('mkfifo', [join(directory, 'pipe')]);
      await expect(read('link')).rejects.toMatchObject({ code: 'ELOOP' });
      await expect(read('pipe')).rejects.toThrow('not a regular file');
    },
  );
});
