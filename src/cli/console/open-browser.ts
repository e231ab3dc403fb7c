/** Opens a URL in the browser of the user. */
import { spawn } from 'node:child_process';

const PROGRAMS: Partial<Record<NodeJS.Platform, readonly [string, ...string[]]>> = {
  darwin: ['open'],
  win32: ['rundll32', 'url.dll,FileProtocolHandler'],
};

/**
 * Resolves with false if there is no program that opens it. A program that the environment variable
 * BROWSER names replaces that of the system.
 */
export function openBrowser(
  url: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<boolean> {
  const [program, ...args] =
    environment.BROWSER === undefined || environment.BROWSER === ''
      ? (PROGRAMS[process.platform] ?? ['xdg-open'])
      : [environment.BROWSER];
  return new Promise((resolve) => {
    const child = spawn(program, [...args, url], { detached: true, stdio: 'ignore' });
    child.once('error', () => resolve(false));
    child.once('spawn', () => resolve(true));
    child.unref();
  });
}
