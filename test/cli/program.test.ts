/** The command line as a whole: help, examples, exit codes, and what is loaded. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { file } from '../../src/registries/file/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { openFleet, temporaryFolder } from './greeter-servers.js';
import { examplesOf, words } from './help-examples.js';
import { COMMANDS, finished, getty, startGetty } from './run-getty.js';

noLeaks();

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MANIFEST = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));

describe('getty', () => {
  test('without a command writes its help on standard error, and ends with 2', async () => {
    const { code, stdout, stderr } = await getty();
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: getty/);
    for (const command of COMMANDS) expect(stderr).toMatch(new RegExp(`\\n {2}${command} `));
  });

  test('--help lists the commands and the exit codes', async () => {
    const { code, stdout, stderr } = await getty('--help');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('Exit codes: 0, 2 for a wrong command line');
  });

  test('--version is that of the package', async () => {
    expect(await getty('--version')).toEqual({
      code: 0,
      stdout: `${MANIFEST.version}\n`,
      stderr: '',
    });
  });

  test.each([
    [['lss'], "getty: unknown command 'lss' (Did you mean ls?); see `getty --help`\n"],
    [['ls'], "getty ls: missing required argument 'registry'; see `getty ls --help`\n"],
    [
      ['ls', 'a', 'b', 'c'],
      "getty ls: too many arguments for 'ls'. Expected 2 arguments but got 3.; see `getty ls --help`\n",
    ],
    [['--nope'], "getty: unknown option '--nope'; see `getty --help`\n"],
  ])('%j is a wrong command line', async (args, stderr) => {
    expect(await getty(...args)).toEqual({ code: 2, stdout: '', stderr });
  });

  test('writes the error of a wrong command line as JSON with --json', async () => {
    const { stderr } = await getty('ls', 'nope', '--json');
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'USAGE' } });
  });
});

describe.each(COMMANDS)('getty %s --help', (command) => {
  test('shows two examples, and they run', async () => {
    await using folder = await temporaryFolder();
    await using fleet = openFleet(folder.url, file(folder.path, { ttl: 60_000 }));
    const provider = await fleet.provide('a', { group: 'bj' });
    const { stdout } = await getty(command, '--help');
    const examples = examplesOf(stdout);
    expect(examples).toHaveLength(2);
    for (const example of examples) {
      const [program, ...args] = words(example).map((word) =>
        word
          .replace('file:///srv/getty/registry', folder.url)
          .replace('tcp://127.0.0.1:8849', provider.address),
      );
      expect(program).toBe('getty');
      const running = startGetty(args);
      running.endInput();
      if (args.includes('--watch')) {
        await running.lines.take(2);
        running.interrupt();
      }
      if (command === 'console') {
        await running.lines.next();
        running.interrupt();
      }
      if (command === 'proxy') {
        await running.errors.next();
        running.interrupt();
      }
      const { code, stderr } = await finished(running, args);
      expect(stderr).not.toMatch(/error|fail(?!ed:? 0\b)/i);
      expect(code).toBe(0);
    }
  });
});

describe('the package', () => {
  test('depends on no package of the command', () => {
    expect(Object.keys(MANIFEST.dependencies)).not.toContain('commander');
    expect(MANIFEST.bin).toEqual({ getty: './dist/cli/main.js' });
    expect(readFileSync(`${ROOT}dist/cli/main.js`, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    expect(readFileSync(`${ROOT}dist/cli/commander.LICENSE`, 'utf8')).toMatch(/MIT License/);
  });

  test('loads no file of the command when a program imports one of its entry points', async () => {
    const entries = Object.keys(MANIFEST.exports).filter((name) => !name.endsWith('package.json'));
    const program = `for (const name of ${JSON.stringify(entries)})
      await import('${MANIFEST.name}' + name.slice(1));`;
    const trace = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--import', `${ROOT}test/cli/trace-imports.mjs`, '--eval', program],
      { cwd: ROOT },
    );
    expect(trace.stderr).toContain('/dist/transport/index.js');
    expect(trace.stderr).not.toMatch(/\/dist\/(cli|console)\//);
  });

  test('loads the testing kit for `getty proxy` only', async () => {
    const args = ['--import', `${ROOT}test/cli/trace-imports.mjs`, `${ROOT}dist/cli/main.js`];
    const trace = await promisify(execFile)(process.execPath, [...args, 'completion', 'bash']);
    expect(trace.stderr).toContain('/dist/cli/commands/proxy.js');
    expect(trace.stderr).not.toContain('/dist/testing/');
  });
});
