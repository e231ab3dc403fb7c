/**
 * Prepares this checkout: installs packages, and builds dist and the demo, when they are missing or
 * out of date. It prints a line on stderr for each of these steps.
 *   node scripts/setup.mjs                  prepares
 *   node scripts/setup.mjs PROGRAM ARGS…    prepares, then runs PROGRAM in this process
 * If the folder of PROGRAM has a package-lock.json, its packages are installed too.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The path of the TypeScript compiler, an argument of `node`. */
export const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');

/**
 * Run a program and wait for its end. Return whether it succeeded, and its output without colors.
 * @param {string} command
 * @param {string[]} args
 * @param {string} [cwd]
 */
export function run(command, args, cwd = ROOT) {
  const env = { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined };
  const shell = command === 'npm' && process.platform === 'win32';
  const done = spawnSync(command, args, { cwd, env, shell, encoding: 'utf8', maxBuffer: 2 ** 28 });
  return {
    ok: done.status === 0,
    output: done.error === undefined ? `${done.stdout}${done.stderr}` : String(done.error),
  };
}

/**
 * Run a program. When it fails, print its output and end this process.
 * @param {string} title
 * @param {string} command
 * @param {string[]} args
 * @param {string} [cwd]
 */
function must(title, command, args, cwd) {
  process.stderr.write(`${title}\n`);
  const { ok, output } = run(command, args, cwd);
  if (ok) return;
  process.stderr.write(`${output}\nfailed: ${command} ${args.join(' ')}\n`);
  process.exit(1);
}

/**
 * When a file was modified, in ms since the epoch; 0 when it does not exist. @param {string} path
 */
const modified = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/**
 * `npm ci` in `folder`, unless its packages are as new as its lock file.
 * @param {string} folder
 */
export function install(folder) {
  if (
    modified(join(folder, 'node_modules/.package-lock.json')) >=
    modified(join(folder, 'package-lock.json'))
  )
    return;
  // These options override those that an outer npm passes in the environment (--json, --omit=dev,
  // --dry-run …).
  const options = [
    '--include=dev',
    '--loglevel=error',
    '--json=false',
    '--dry-run=false',
    '--global=false',
    '--no-audit',
    '--no-fund',
  ];
  must(
    'installing packages; the first time this takes some seconds',
    'npm',
    ['ci', ...options],
    folder,
  );
}

/**
 * A hash of the names and modification times of all files and folders in `folder`, without
 * installed packages. The time of a folder changes when a file in it is added or removed.
 * @param {string} folder
 */
export function fingerprint(folder) {
  const hash = createHash('sha1');
  for (const name of ['tsconfig.json', 'tsconfig.build.json'])
    hash.update(`${name} ${modified(join(ROOT, name))}\n`);
  for (const name of [
    '',
    ...readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => !name.includes('node_modules'))
      .sort(),
  ]) {
    hash.update(`${name} ${modified(join(ROOT, folder, name))}\n`);
  }
  return hash.digest('hex');
}

/**
 * Replace the folder `target` by `fresh`. Other processes may do the same concurrently: the last
 * one wins, and `target` never has files of two builds.
 * @param {string} fresh
 * @param {string} target
 */
export function replaceFolder(fresh, target) {
  const old = `${fresh}-old`;
  for (;;) {
    rmSync(old, { recursive: true, force: true });
    try {
      renameSync(target, old);
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENOENT') throw error;
    }
    try {
      renameSync(fresh, target);
      break;
    } catch (error) {
      // Another process has created the target in the meantime.
      if (!existsSync(target)) throw error;
    }
  }
  rmSync(old, { recursive: true, force: true });
}

/**
 * Compile into a temporary folder and then replace the target, so that a program that runs from the
 * target never sees a part of a build.
 * @param {string} name
 * @param {string} source
 * @param {string} target
 * @param {string} config
 * @param {(folder: string) => void} finish adds files to the compiled ones
 * @param {string} version what the build depends on besides `source`
 */
function build(name, source, target, config, finish = () => {}, version = '') {
  const stamp = join(ROOT, `build/${name}.stamp`);
  const built = join(ROOT, target);
  const print = fingerprint(source) + version;
  if (existsSync(built) && existsSync(stamp) && readFileSync(stamp, 'utf8') === print) return;
  const fresh = join(ROOT, `build/${name}-${process.pid}`);
  mkdirSync(dirname(fresh), { recursive: true });
  must(`building ${name}`, process.execPath, [TSC, '-p', config, '--outDir', fresh]);
  finish(fresh);
  replaceFolder(fresh, built);
  writeFileSync(stamp, print);
}

const COMMANDER = join(ROOT, 'node_modules/commander');

/**
 * Bundle commander, which only the command `getty` loads, into `dist/cli`, with its license. So the
 * package does not depend on it. `#commander` in package.json is this file.
 * @param {string} dist
 */
function bundleCommander(dist) {
  const { buildSync } = createRequire(import.meta.url)('esbuild');
  buildSync({
    entryPoints: [join(COMMANDER, 'esm.mjs')],
    outfile: join(dist, 'cli/commander.js'),
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // commander is CommonJS: it requires modules of Node.js.
    banner: {
      js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);",
    },
  });
  copyFileSync(join(COMMANDER, 'LICENSE'), join(dist, 'cli/commander.LICENSE'));
}

const UPLOT = join(ROOT, 'node_modules/uplot');
const PAGE = join(ROOT, 'src/cli/console/page');

/**
 * Bundle the page of `getty console` into `dist/console`, with uPlot and its license.
 * @param {string} dist
 */
function bundleConsole(dist) {
  const { buildSync } = createRequire(import.meta.url)('esbuild');
  const folder = join(dist, 'console');
  buildSync({
    entryPoints: { page: join(PAGE, 'main.ts') },
    outdir: folder,
    bundle: true,
    minify: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2022',
    logLevel: 'error',
  });
  buildSync({
    entryPoints: { page: join(PAGE, 'page.css') },
    outdir: folder,
    bundle: true,
    minify: true,
    target: 'es2022',
    logLevel: 'error',
  });
  for (const name of ['index.html', 'icon.svg']) copyFileSync(join(PAGE, name), join(folder, name));
  copyFileSync(join(UPLOT, 'LICENSE'), join(folder, 'uplot.LICENSE'));
}

/**
 * The version of a package that is bundled. @param {string} folder
 */
const versionIn = (folder) =>
  JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;

/** Install packages, and build dist and the demo, when they are out of date. */
export function setup() {
  install(ROOT);
  const bundle = (/** @type {string} */ dist) => {
    bundleCommander(dist);
    bundleConsole(dist);
  };
  const versions = `${versionIn(COMMANDER)} ${versionIn(UPLOT)}`;
  build('dist', 'src', 'dist', 'tsconfig.build.json', bundle, versions);
  build('demo', 'demo', 'build/demo', 'demo');
}

if (resolve(process.argv[1] ?? '') === fileURLToPath(import.meta.url)) {
  setup();
  // The program sees its own path and arguments in process.argv, as if node had started it.
  process.argv.splice(1, 1);
  if (process.argv[1] !== undefined) {
    const program = resolve(process.argv[1]);
    if (existsSync(join(dirname(program), 'package-lock.json'))) install(dirname(program));
    await import(pathToFileURL(program).href);
  }
}
