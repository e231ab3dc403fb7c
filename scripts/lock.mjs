/**
 * Completes package-lock.json. A registry without the builds of a package for other platforms omits
 * them from the file, and then `npm ci` rejects it on every platform. Run this program after you
 * install or update a package.
 *   node scripts/lock.mjs [FOLDER]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './setup.mjs';

const file = join(ROOT, process.argv[2] ?? '', 'package-lock.json');
const lock = JSON.parse(readFileSync(file, 'utf8'));
const PLATFORM =
  /\b(aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)-([a-z\d]+)(?:-(gnu|musl))?\b/;
/** @type {Record<string, string>} */
const CPUS = { aarch64: 'arm64', armv7: 'arm' };

for (const { optionalDependencies = {}, dev } of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const [, os, cpu = '', libc] = PLATFORM.exec(name) ?? [];
    const path = `node_modules/${name}`;
    if (path in lock.packages || os === undefined) continue;
    // In the order in which npm writes these keys.
    lock.packages[path] = {
      version,
      cpu: [CPUS[cpu] ?? cpu],
      ...(dev && { dev }),
      ...(libc && { libc: [libc === 'gnu' ? 'glibc' : libc] }),
      optional: true,
      os: [os],
    };
    console.log(`added ${name} ${version}`);
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, 'en')),
);
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
