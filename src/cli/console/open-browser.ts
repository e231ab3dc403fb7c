/** Opens the page in the browser of the user. */
import { spawn } from 'node:child_process';
import { messageOf } from '../../core/errors.js';
import { RedirectFile } from './redirect-file.js';

const PROGRAMS: Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>> = {
  darwin: ['open'],
  win32: ['rundll32', 'url.dll,FileProtocolHandler'],
};

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Opens `address`. A program that the environment variable BROWSER names replaces that of the
 * system. An address with a query has a token, so the program gets a file that leads to it.
 *
 * Resolves with what the caller disposes of when the page is no longer served. Rejects with an
 * Error if there is no program that opens the page, or no directory for temporary files.
 */
export async function openBrowser(
  address: string,
  environment: Environment,
): Promise<AsyncDisposable | undefined> {
  if (new URL(address).search === '') {
    await start(address, environment);
    return undefined;
  }
  const file = await RedirectFile.create(address);
  try {
    await start(file.url, environment);
    return file;
  } catch (error) {
    await file[Symbol.asyncDispose]();
    throw error;
  }
}

function start(url: string, environment: Environment): Promise<void> {
  const [program, ...args] =
    environment.BROWSER === undefined || environment.BROWSER === ''
      ? (PROGRAMS[process.platform] ?? ['xdg-open'])
      : [environment.BROWSER];
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args, url], { detached: true, stdio: 'ignore' });
    child.once('error', (error) => reject(new Error(`no browser: ${messageOf(error)}`)));
    child.once('spawn', resolve);
    child.unref();
  });
}
