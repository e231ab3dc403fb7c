/** Options that a target does not use are a wrong command line, for all commands. */
import { describe, expect, test } from 'vitest';
import { noLeaks } from '../fixtures/leaks.js';
import { pemPath } from '../fixtures/tls-endpoints.js';
import { COMMANDS, getty } from './run-getty.js';

noLeaks();

const TCP = 'tcp://127.0.0.1:1';
/** A target that nothing answers at, so that an option that is accepted ends with another code. */
const TLS = 'tls://127.0.0.1:1';
const REGISTRY = 'etcd://127.0.0.1:1/getty';

/** The arguments of each command that has options for targets; two commands have commands. */
const ARGUMENTS: Readonly<Record<string, (target: string) => string[]>> = {
  describe: (target) => [target],
  call: (target) => [target, 'Greeter/hello'],
  'contract snapshot': (target) => [target],
  'contract diff': (target) => [target, target],
  explain: (target) => [target, 'Greeter'],
  sessions: (target) => [target],
  doctor: (target) => [target],
  top: (target) => [target, '--count', '1'],
  load: (target) => [target, 'Greeter/hello', '--rate', '1', '--for', '1ms'],
  console: (target) => [target, '--no-open'],
  'node drain': (target) => [target],
  proxy: (target) => ['tcp://127.0.0.1:0', target],
};
const ONLY_REGISTRIES = ['explain'];
const ONLY_ADDRESSES = ['sessions', 'node drain', 'proxy'];
const withAddresses = Object.keys(ARGUMENTS).filter((name) => !ONLY_REGISTRIES.includes(name));
const withRegistries = Object.keys(ARGUMENTS).filter((name) => !ONLY_ADDRESSES.includes(name));

function lineOf(command: string, target: string, options: readonly string[]): string[] {
  return [...command.split(' '), ...(ARGUMENTS[command]?.(target) ?? []), ...options];
}

async function refusal(command: string, target: string, ...options: string[]): Promise<string> {
  const { code, stdout, stderr } = await getty(...lineOf(command, target, options));
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  return stderr;
}

test('the table has each command with the options of TLS', async () => {
  const { stdout } = await getty('completion', 'bash', '--json');
  const named = (list: readonly string[]): string[] => [
    ...new Set(list.map((name) => name.split(' ')[0] ?? '')),
  ];
  const found: { name: string; options: { name: string }[] }[] = JSON.parse(stdout).commands;
  expect(found.map(({ name }) => name)).toEqual(COMMANDS);
  const having = found.filter(({ options }) => options.some(({ name }) => name === '--ca'));
  expect(having.map(({ name }) => name)).toEqual(named(Object.keys(ARGUMENTS)));
});

describe.each(withAddresses)('getty %s', (command) => {
  test.each(['--ca', '--cert', '--key', '--server-name'])(
    'refuses %s for an address without TLS, and reads no file',
    async (flag) => {
      expect(await refusal(command, TCP, flag, 'nope.pem')).toBe(
        `getty ${command.replace(' drain', '')}: ${flag}: the target is "${TCP}"; ` +
          'this option is for tls:// and wss://\n',
      );
    },
  );

  test('refuses a certificate without its key, and a key without its certificate', async () => {
    const tls = (flag: string) => refusal(command, TLS, flag, pemPath('client'));
    expect(await tls('--cert')).toContain('--cert: this option needs --key\n');
    expect(await tls('--key')).toContain('--key: this option needs --cert\n');
  });
});

describe.each(withRegistries)('getty %s', (command) => {
  test('takes options of TLS for a registry, whose nodes may use it', async () => {
    const line = lineOf(command, REGISTRY, ['--server-name', 'x', '--timeout', '500ms']);
    const { code, stderr } = await getty(...line);
    expect(code).not.toBe(2);
    expect(stderr).not.toContain('this option');
  });
});

test.each(['call', 'load'])(
  'getty %s refuses options of a registry for an address',
  async (name) => {
    for (const flag of ['--node', '--group'])
      expect(await refusal(name, TCP, flag, 'x')).toBe(
        `getty ${name}: ${flag}: the target is the address "${TCP}"; this option is for a registry\n`,
      );
  },
);

test.each([
  ['--timeout', '1s'],
  ['--token', 'x'],
  ['--ca', 'nope.pem'],
])('getty contract diff refuses %s for two files', async (flag, value) => {
  const { code, stderr } = await getty('contract', 'diff', 'a.json', 'b.json', flag, value);
  expect(code).toBe(2);
  expect(stderr).toBe(
    `getty contract diff: ${flag}: no target is given; this option is for a target\n`,
  );
});

test('getty contract diff takes options that one of two targets uses', async () => {
  const args = ['contract', 'diff', TCP, TLS, '--ca', pemPath('authority'), '--timeout', '500ms'];
  expect(await getty(...args)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('ECONNREFUSED'),
  });
});

test('getty ls refuses --interval without --watch', async () => {
  expect(await getty('ls', 'memory:x', '--interval', '1s')).toMatchObject({
    code: 2,
    stderr: 'getty ls: --interval: this option needs --watch\n',
  });
});
