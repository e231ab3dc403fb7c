/** Reads files that an argument names. A device or a pipe may have no end. */
import { closeSync, openSync, readSync } from 'node:fs';

const CHUNK_BYTES = 2 ** 16;

/** Throws an Error if the file cannot be read, or has more than `maxBytes`. */
export function readLimited(path: string, maxBytes: number): Buffer {
  const file = openSync(path, 'r');
  try {
    const chunks: Buffer[] = [];
    let length = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const read = readSync(file, chunk);
      if (read === 0) return Buffer.concat(chunks, length);
      length += read;
      if (length > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
      chunks.push(chunk.subarray(0, read));
    }
  } finally {
    closeSync(file);
  }
}
