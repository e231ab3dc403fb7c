/** The examples of rpc with a worker thread and with a child process: what they print. */
import { expect, it } from 'vitest';
import { runExample } from '../fixtures/programs.js';

it('rpc-thread: counts primes in a worker thread, which reports its progress', async () => {
  await using program = runExample('rpc-thread', '--below', '1000');
  expect(await program.ended).toBe(0);
  expect(program.lines.all).toEqual([
    '25 %',
    '50 %',
    '75 %',
    '100 %',
    '168 primes below 1000, from port://primes',
  ]);
});

it('rpc-child: counts words in a child process, which gets them from its parent', async () => {
  await using program = runExample('rpc-child');
  expect(await program.ended).toBe(0);
  expect(program.lines.all.filter((line) => line.startsWith('counting'))).toEqual([
    'counting poem.txt',
    'counting empty.txt',
  ]);
  expect(program.lines.all.filter((line) => !line.startsWith('counting'))).toEqual([
    'poem.txt: 8',
    'empty.txt: 0',
    expect.stringMatching(/^other\.txt: .*there is no file other\.txt/),
    'the child ended with 0',
  ]);
});
