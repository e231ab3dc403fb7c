/** `getty completion`. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../greeter-servers.js';
import { COMMANDS, getty } from '../run-getty.js';

const BASH = ['/bin/bash', '/usr/bin/bash'].find((path) => existsSync(path));

describe('getty completion', () => {
  test.skipIf(BASH === undefined).each([
    ['getty do', ['doctor']],
    ['getty call tcp://x A/b --ti', ['--timeout']],
    ['getty call tcp://x A/b --kind o', ['oneway']],
    ['getty ls --', ['--watch', '--interval', '--json', '--help']],
    ['getty completion z', ['zsh']],
    ['getty contract s', ['snapshot']],
    ['getty ls file:///', []],
  ])('bash completes %j to %j', async (line, words) => {
    await using folder = await temporaryFolder();
    const script = join(folder.path, 'getty.bash');
    await writeFile(script, (await getty('completion', 'bash')).stdout);
    const typed = line.split(' ');
    const program = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=${typed.length - 1}; _getty
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const reply = execFileSync(BASH as string, ['-c', program, script, ...typed], {
      encoding: 'utf8',
    });
    expect(reply.split('\n').filter((word) => word !== '')).toEqual(words);
  });

  test.each([['zsh'], ['fish']])('%s gets each command, option and value', async (shell) => {
    const { code, stdout } = await getty('completion', shell);
    expect(code).toBe(0);
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`\\b${command}\\b`));
    expect(stdout).toMatch(shell === 'zsh' ? /'--watch\[then write/ : / -l watch -d 'then write/);
    expect(stdout).toMatch(shell === 'zsh' ? /:value:\(json protobuf\)/ : / -x -a 'json protobuf'/);
  });

  test('writes the commands and options as JSON', async () => {
    const { stdout } = await getty('completion', 'fish', '--json');
    const { commands } = JSON.parse(stdout);
    expect(commands.map(({ name }: { name: string }) => name)).toEqual(COMMANDS);
  });

  test('refuses another shell', async () => {
    expect(await getty('completion', 'tcsh')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'getty completion: SHELL: got "tcsh", expected one of bash, zsh, fish\n',
    });
  });
});
