/** What `getty console --open` starts, and what other users of the machine can see of it. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { RedirectFile } from '../../../src/cli/console/redirect-file.js';
import { until } from '../../fixtures/waiting.js';
import { serveGreeter } from '../greeter-servers.js';
import { finished, startGetty } from '../run-getty.js';
import { openConsole } from './open-console.js';

let folder: string;
/** A program that writes its arguments into the file `seen`. */
let BROWSER: string;
let seen: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'getty-browser-'));
  [BROWSER, seen] = [join(folder, 'browser'), join(folder, 'seen')];
  await writeFile(
    BROWSER,
    `#!/bin/sh\necho "$*" > '${seen}.part' && mv '${seen}.part' '${seen}'\n`,
  );
  await chmod(BROWSER, 0o700);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

async function argumentsOfBrowser(): Promise<string> {
  await until(() => existsSync(seen), 'the start of the browser');
  return readFileSync(seen, 'utf8').trim();
}

const modeOf = (path: string): number => statSync(path).mode & 0o777;

test('the arguments of the browser have no token, but a file that only this user can read', async () => {
  await using server = await serveGreeter();
  let path: string;
  {
    await using console = await openConsole(server.address, ['--allow-admin', '--open'], {
      environment: { BROWSER },
    });
    const url = await argumentsOfBrowser();
    expect(url).toMatch(/^file:\/\/\/\S+\.html$/);
    path = fileURLToPath(url);
    expect([modeOf(path), modeOf(dirname(path))]).toEqual([0o600, 0o700]);
    expect(readFileSync(path, 'utf8')).toContain(`content="0; url=${console.url}"`);
  }
  expect(existsSync(dirname(path))).toBe(false);
});

test('an address without a token is the argument of the browser', async () => {
  await using server = await serveGreeter();
  await using console = await openConsole(server.address, ['--open'], { environment: { BROWSER } });
  expect(await argumentsOfBrowser()).toBe(console.url);
});

test('without a browser the command says so, goes on, and leaves no file', async () => {
  vi.stubEnv('TMPDIR', folder);
  await using server = await serveGreeter();
  const running = startGetty(['console', server.address, '--allow-admin', '--open'], {
    environment: { BROWSER: join(folder, 'none') },
  });
  expect(await running.errors.take(2)).toEqual([
    'the console is at this address until Ctrl-C',
    expect.stringMatching(/^no browser: .*ENOENT; open the address yourself$/),
  ]);
  expect(readdirSync(folder)).toEqual(['browser']);
  const { origin } = new URL(await running.lines.next());
  expect((await fetch(origin)).status).toBeLessThan(500);
  running.interrupt();
  expect((await finished(running)).code).toBe(0);
});

test('without a directory for temporary files the command says so', async () => {
  vi.stubEnv('TMPDIR', join(folder, 'none'));
  await using server = await serveGreeter();
  const running = startGetty(['console', server.address, '--allow-admin', '--open'], {
    environment: { BROWSER },
  });
  await running.errors.next();
  expect(await running.errors.next()).toMatch(/ENOENT.*; open the address yourself$/);
  running.interrupt();
  expect((await finished(running)).code).toBe(0);
  expect(existsSync(seen)).toBe(false);
});

test('the file has its address as text', async () => {
  await using file = await RedirectFile.create(`http://a/?token="><script>'&`);
  const html = readFileSync(fileURLToPath(file.url), 'utf8');
  expect(html).toContain('href="http://a/?token=&#34;&#62;&#60;script&#62;&#39;&#38;"');
});
