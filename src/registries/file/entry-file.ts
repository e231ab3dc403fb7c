/** Reads the file of an entry. Other programs may replace it at any moment. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { MAX_ENTRY_BYTES } from '../../micro/registry-entry.js';

/**
 * The file may have become a symbolic link, whose target may be endless, or a named pipe, whose
 * open() waits for a writer. Windows has neither flag.
 */
const SAFE_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/**
 * Returns the text of a regular file. Throws Error if the file is no regular file, has more than
 * MAX_ENTRY_BYTES, or grows while it is read. Rejects with the error of the system for a symbolic
 * link, and for a file that cannot be read.
 */
export async function readEntryFile(path: string): Promise<string> {
  const file = await open(path, SAFE_FLAGS);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error('it is not a regular file');
    if (stats.size > MAX_ENTRY_BYTES)
      throw new Error(`it has ${stats.size} bytes, at most ${MAX_ENTRY_BYTES} are read`);
    const bytes = Buffer.alloc(stats.size + 1);
    let length = 0;
    for (let read = 1; read > 0 && length < bytes.length; length += read)
      read = (await file.read(bytes, length, bytes.length - length)).bytesRead;
    if (length > stats.size) throw new Error('it has grown while it was read');
    return bytes.toString('utf8', 0, length);
  } finally {
    await file.close();
  }
}
