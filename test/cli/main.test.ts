/** The command as a process: as users install it, with the signals and pipes of a shell. */
import { execFile, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { chmod, mkdir, readdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { serve } from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { runProgram } from '../fixtures/programs.js';
import { connectOnce } from '../fixtures/rpc.js';
import { PROCESS_PATIENCE, within } from '../fixtures/waiting.js';
import { Greeter, greeter, temporaryFolder } from './greeter-servers.js';

noLeaks();

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAIN = join(ROOT, 'dist/cli/main.js');
const run = promisify(execFile);

describe('the process', () => {
  test('ends cleanly on Ctrl-C', async () => {
    await using folder = await temporaryFolder();
    await using watch = runProgram(MAIN, 'ls', folder.url, '--watch');
    await watch.line(/^SERVICE/);
    watch.child.kill('SIGINT');
    expect(await watch.ended).toBe(0);
    expect(watch.lines.all).toHaveLength(1);
  });

  test('passes calls on until Ctrl-C, and leaves no socket', async () => {
    await using folder = await temporaryFolder();
    await using server = await serve('tcp://127.0.0.1:0', [greeter()]);
    const socket = join(folder.path, 'proxy');
    await using proxy = runProgram(MAIN, 'proxy', `unix://${socket}`, server.address);
    await proxy.line(/^listening at /);
    await using client = await connectOnce(`unix://${socket}`);
    await client.stub(Greeter).hello('world');
    await proxy.line(/answer .* OK/);
    proxy.child.kill('SIGINT');
    expect(await proxy.ended).toBe(0);
    expect(existsSync(socket)).toBe(false);
  });

  test('ends when the reader of the frames has ended', async () => {
    await using server = await serve('tcp://127.0.0.1:0', [greeter()]);
    const args = [MAIN, 'proxy', 'tcp://127.0.0.1:0', server.address];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'exit');
    const [line] = await once(child.stderr, 'data');
    child.stdout.destroy();
    const client = await connectOnce(`${line}`.trim().replace('listening at ', ''));
    await client
      .stub(Greeter)
      .hello('world')
      .catch(() => {});
    expect((await within(ended, 'the end of getty', PROCESS_PATIENCE))[0]).toBe(0);
    client.destroy();
  });

  test('ends with the number of the code', async () => {
    await using server = await serve('tcp://127.0.0.1:0', [greeter()]);
    const failed = run(process.execPath, [MAIN, 'call', server.address, 'Greeter/fail', '"x"']);
    await expect(failed).rejects.toMatchObject({
      code: 5,
      stdout: '',
      stderr: 'getty call: NOT_FOUND: x\n',
    });
  });

  test('ends when the reader of its output has ended', async () => {
    await using server = await serve('tcp://127.0.0.1:0', [greeter()], { introspection: true });
    const args = [MAIN, 'call', server.address, 'Greeter/count', '1000000000'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'exit');
    let errors = '';
    child.stderr.on('data', (text) => {
      errors += text;
    });
    await once(child.stdout, 'data');
    child.stdout.destroy();
    expect((await within(ended, 'the end of getty', PROCESS_PATIENCE))[0]).toBe(1);
    expect(errors).toBe('');
  });

  test.skipIf(!existsSync('/dev/full'))('says that its output cannot be written', async () => {
    const full = openSync('/dev/full', 'w');
    try {
      const child = spawn(process.execPath, [MAIN, '--help'], { stdio: ['ignore', full, 'pipe'] });
      let errors = '';
      child.stderr?.on('data', (text) => {
        errors += text;
      });
      const [code] = await within(once(child, 'close'), 'the end of getty', PROCESS_PATIENCE);
      expect(code).toBe(1);
      expect(errors).toMatch(/^getty: the output cannot be written: ENOSPC.*\n$/);
    } finally {
      closeSync(full);
    }
  });

  test('ends on Ctrl-C while nothing reads its output', async () => {
    await using server = await serve('tcp://127.0.0.1:0', [greeter()]);
    const options = ['--json', '--body-limit', '65536'];
    const args = [MAIN, 'proxy', 'tcp://127.0.0.1:0', server.address, ...options];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'exit');
    const [line] = await once(child.stderr, 'data');
    const { listening } = JSON.parse(`${line}`);
    const client = await connectOnce(listening);
    // More than a pipe holds.
    for (let call = 0; call < 40; call++)
      await client
        .stub(Greeter)
        .hello('x'.repeat(60_000))
        .catch(() => {});
    child.kill('SIGINT');
    expect((await within(ended, 'the end of getty', PROCESS_PATIENCE))[0]).toBe(0);
    child.stdout.destroy();
    client.destroy();
  });

  test('reads standard input until it ends', async () => {
    await using server = await serve('tcp://127.0.0.1:0', [greeter()], { introspection: true });
    const args = [MAIN, 'call', server.address, 'Greeter/sum'];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    child.stdin.end('1\n41\n');
    expect(await within(once(child, 'close'), 'the end of getty', PROCESS_PATIENCE)).toEqual([
      0,
      null,
    ]);
    expect(text).toBe('42\n');
  });
});

/** Installs the packed package into `folder`, with the packages that it depends on. */
async function install(folder: string): Promise<void> {
  const packed = join(folder, 'packed');
  const installed = join(folder, 'node_modules/getty-ts');
  await mkdir(packed);
  await mkdir(join(folder, 'node_modules/.bin'), { recursive: true });
  await mkdir(installed);
  const options = ['--ignore-scripts', '--silent', '--pack-destination', packed];
  await run('npm', ['pack', ...options], { cwd: ROOT });
  const [tarball = ''] = await readdir(packed);
  await run('tar', ['-xzf', join(packed, tarball), '--strip-components=1', '-C', installed]);
  const { dependencies, bin } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  for (const name of Object.keys(dependencies)) {
    const link = join(folder, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(ROOT, 'node_modules', name), link);
  }
  // As npm does.
  await chmod(join(installed, bin.getty), 0o755);
  await symlink(join(installed, bin.getty), join(folder, 'node_modules/.bin/getty'));
}

test('the packed package has the command, which lists and calls the providers of the demo', async () => {
  await using folder = await temporaryFolder();
  await install(folder.path);
  expect(existsSync(join(folder.path, 'node_modules/commander'))).toBe(false);
  const npx = async (...args: string[]): Promise<string> =>
    (await run('npx', ['--no-install', 'getty', ...args], { cwd: folder.path })).stdout;
  await mkdir(join(folder.path, 'registry'));
  const url = `${folder.url}/registry`;
  const provider = fork(join(ROOT, 'build/demo/provider.js'), [url, 'provider-1']);
  try {
    const [ready] = await within(once(provider, 'message'), 'the provider', PROCESS_PATIENCE);
    expect(ready).toMatchObject({ type: 'ready' });
    expect(await npx('ls', url)).toMatch(
      /\nTestService +v1\.0 +json,protobuf +provider-1 +tcp:\/\/127\.0\.0\.1:\d+ +100\n$/,
    );
    expect(await npx('call', url, 'TestService/Add', '{"A":1,"B":2}', '--json')).toBe(
      '{"Sum":3}\n',
    );
  } finally {
    const ended = once(provider, 'exit');
    provider.send({ type: 'stop' });
    await ended;
  }
});
