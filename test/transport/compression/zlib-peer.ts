/** A peer of DeflateConnection, made of zlib alone. */
import { constants, createDeflateRaw, createInflateRaw } from 'node:zlib';

/** The end of each write. */
export const SYNC_FLUSH = '0000ffff';

/** A compressor with one DEFLATE stream and a sync flush after each text. */
export function zlibCompressor(level = -1): (text: string | Buffer) => Promise<Buffer> {
  const stream = createDeflateRaw({ level });
  const output: Buffer[] = [];
  stream.on('data', (bytes: Buffer) => output.push(bytes));
  return (text) =>
    new Promise((resolve) => {
      stream.write(text);
      stream.flush(constants.Z_SYNC_FLUSH, () => {
        while (stream.read() !== null);
        resolve(Buffer.concat(output.splice(0)));
      });
    });
}

/** The content of a DEFLATE stream that may be incomplete. */
export async function zlibInflate(wire: Buffer): Promise<Buffer> {
  const stream = createInflateRaw();
  const output: Buffer[] = [];
  stream.on('data', (bytes: Buffer) => output.push(bytes));
  await new Promise<void>((resolve, reject) => {
    stream.on('error', reject);
    stream.write(wire);
    stream.flush(constants.Z_SYNC_FLUSH, () => resolve());
  });
  while (stream.read() !== null);
  stream.close();
  return Buffer.concat(output);
}
