/**
 * An address with a token for a browser. All users of a machine can read the arguments of a
 * program, so the browser gets a file that only this user can read, and that leads to the address.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export class RedirectFile implements AsyncDisposable {
  readonly #directory: string;
  /** `file://…` */
  readonly url: string;

  private constructor(directory: string, path: string) {
    this.#directory = directory;
    this.url = pathToFileURL(path).href;
  }

  /** Rejects if the directory for temporary files cannot be written. */
  static async create(address: string): Promise<RedirectFile> {
    // mkdtemp() makes a directory of mode 0700.
    const directory = await mkdtemp(join(tmpdir(), 'getty-console-'));
    const path = join(directory, 'console.html');
    try {
      await writeFile(path, redirectTo(address), { mode: 0o600, flag: 'wx' });
    } catch (error) {
      await remove(directory);
      throw error;
    }
    return new RedirectFile(directory, path);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return remove(this.#directory);
  }
}

const remove = (directory: string): Promise<void> =>
  rm(directory, { recursive: true, force: true });

function redirectTo(address: string): string {
  const escaped = address.replace(/[&<>"']/g, (each) => `&#${each.charCodeAt(0)};`);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url=${escaped}">
<title>getty console</title>
<p><a href="${escaped}">Open the console</a></p>
</html>
`;
}
