// @ts-check
/** Finds the program of the package `bun`, which is a peer. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** npm installs the package of this platform only, because it is an optional dependency. */
const PACKAGES = fileURLToPath(new URL('node_modules/@oven', import.meta.url));

/** The path of the program. Throws when there is no package for this platform. */
export function bunPath() {
  const name = process.platform === 'win32' ? 'bun.exe' : 'bun';
  const paths = existsSync(PACKAGES)
    ? readdirSync(PACKAGES).map((folder) => join(PACKAGES, folder, 'bin', name))
    : [];
  const path = paths.find((path) => existsSync(path));
  if (path === undefined) throw new Error('Bun is not installed: npm has none for this platform');
  return path;
}
