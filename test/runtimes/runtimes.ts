/** Finds the runtimes: packages of this folder, and Node.js of other versions from npm. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Runtime {
  /** `bun`, `deno`, or Node.js with its major version, such as `node@20`. */
  readonly name: string;
  readonly version: string;
  /** The program and its arguments before the path of a script. */
  readonly command: readonly [program: string, ...args: string[]];
}

const PACKAGES = resolve('test/runtimes/node_modules');
const DENO = process.platform === 'win32' ? 'deno.exe' : 'deno';
/** On every platform the package bun has a program of this name. */
const BUN = 'bun.exe';

async function firstLineOf(program: string, ...args: string[]): Promise<string> {
  const shell = program === 'npm' && process.platform === 'win32';
  const { stdout } = await run(program, args, { shell });
  return stdout.trim().split('\n', 1).join();
}

function installed(path: string): string {
  const program = resolve(PACKAGES, path);
  if (!existsSync(program))
    throw new Error(
      `${path} is not installed: run \`npm ci --ignore-scripts=false\` in test/runtimes`,
    );
  return program;
}

/**
 * The runtime of this name: `bun`, `deno`, `node` for the Node.js that runs this program, or
 * `node@MAJOR` for another one, which npm downloads. Throws if there is none.
 */
export async function findRuntime(name: string): Promise<Runtime> {
  if (name === 'bun') {
    const program = installed(`bun/bin/${BUN}`);
    return { name, version: await firstLineOf(program, '--version'), command: [program] };
  }
  if (name === 'deno') {
    const program = installed(`deno/${DENO}`);
    // The line is such as `deno 2.9.6 (stable, release, …)`.
    const [, version = ''] = (await firstLineOf(program, '--version')).split(' ');
    return { name, version, command: [program, 'run', '--allow-all', '--no-lock'] };
  }
  if (name !== 'node' && !/^node@\d+$/.test(name))
    throw new Error(`runtime: got "${name}", expected node, node@MAJOR, bun or deno`);
  const program =
    name === 'node'
      ? process.execPath
      : await firstLineOf(
          'npm',
          ...['exec', '--yes', '--package', name, '--'],
          ...['node', '--print', 'process.execPath'],
        );
  const version = (await firstLineOf(program, '--version')).replace(/^v/, '');
  return { name: `node@${version.split('.', 1)}`, version, command: [program] };
}
