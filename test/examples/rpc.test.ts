/** The examples of rpc, each run as a user would. */
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { runExample } from '../fixtures/programs.js';

const tls = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/tls/${name}.pem`, import.meta.url));

/** Run it to its end, which is a good one; all that it said. */
async function output(name: string, ...args: string[]): Promise<string[]> {
  await using program = runExample(name, ...args);
  expect(await program.ended, program.lines.all.join('\n')).toBe(0);
  return program.lines.all.map((line) => line.replace(/127\.0\.0\.1:\d+/, 'HERE'));
}

const CALLS = [
  "find: { name: 'tea', price: 3.5 }",
  'counts: [ 10, 20, 30 ]',
  'find coffee: NOT_FOUND – there is no coffee here',
  'count to a million: DEADLINE_EXCEEDED',
  "callback: { name: 'tea', price: 3.5 }",
];

it('rpc: every kind of plain call, in one process', async () => {
  const lines = await output('rpc');
  expect(lines[0]).toBe('shop at tcp://HERE');
  expect(lines.slice(1).filter((line) => line !== 'Ann was here')).toEqual(CALLS);
  expect(lines).toContain('Ann was here');
});

it.each(['tcp', 'ws'])('rpc: server and client, each a process, over %s', async (scheme) => {
  await using server = runExample('rpc', '--server', '--address', `${scheme}://127.0.0.1:0`);
  const address = await server.line(/shop at (.*)/);
  expect(await output('rpc', '--client', '--address', address)).toEqual(CALLS);
  await server.line(/Ann was here/);
});

it('rpc-protobuf: a service from a .proto file', async () => {
  expect(await output('rpc-protobuf')).toEqual([
    'order 1 costs 7',
    'order 1 was 2 tea',
    '4 orders by now, the last three for 18',
    'milk: NOT_FOUND – there is no milk here',
    'in JSON: order 5 costs 12',
  ]);
});

it('rpc-bidirectional: the office calls back whoever calls it, and all agents', async () => {
  await using office = runExample(
    'rpc-bidirectional',
    '--office',
    '--address',
    'tcp://127.0.0.1:0',
  );
  const address = await office.line(/office at (.*)/);
  await using ann = runExample('rpc-bidirectional', '--agent', 'Ann', '--address', address);
  await ann.line(/Ann is told: welcome, Ann; with you we are 1/);
  {
    await using ben = runExample('rpc-bidirectional', '--agent', 'Ben', '--address', address);
    await ben.line(/Ben is told: welcome, Ben; with you we are 2/);
    await ann.line(/Ann hears: Ben is in, and feels sleepy/);
    await office.line(/Ann says: thanks/);
  }
  await using cid = runExample('rpc-bidirectional', '--agent', 'Cid', '--address', address);
  // Ben has gone.
  await cid.line(/Cid is told: welcome, Cid; with you we are 2/);
  expect(office.lines.all.filter((line) => line.startsWith('Ben says'))).toEqual([]);
});

it('rpc-bidirectional: office and agents in one process', async () => {
  const lines = await output('rpc-bidirectional');
  expect(lines).toContain('Ann hears: Ben is in, and feels sleepy');
  expect(lines.at(-1)).toBe('Ben is told: welcome, Ben; with you we are 2');
});

it('rpc-streams: in every direction, left early, and read slowly', async () => {
  const lines = await output('rpc-streams');
  const heard = 'primes: the reader has enough';
  expect(lines).toContain(heard);
  expect(lines.filter((line) => line !== heard)).toEqual([
    'primes: 101 103 107 109 113',
    'sum: 10',
    'averages: 10 15 30',
    'a sum meanwhile: 4950',
    'blocks made for a reader that rests: less than 100 of 1000: true',
    'blocks read in the end: 1000',
  ]);
});

it('rpc-auth: tokens, and what they permit', async () => {
  expect(await output('rpc-auth')).toEqual([
    'Ann: Ann',
    'Ann: it is open for Ann',
    'Ben: Ben',
    'Ben: PERMISSION_DENIED – you may not call Vault.open',
    'nobody: UNAUTHENTICATED – the credentials were not accepted',
    'nobody: UNAUTHENTICATED – the credentials were not accepted',
    'stranger: UNAUTHENTICATED – the credentials were not accepted',
    'stranger: UNAUTHENTICATED – the credentials were not accepted',
  ]);
});

it('rpc-auth: the certificate of the client', async () => {
  const server = [
    '--address',
    'tls://127.0.0.1:0',
    '--cert',
    tls('server'),
    '--key',
    tls('server.key'),
    '--ca',
    tls('authority'),
  ];
  const client = ['--client-cert', tls('client'), '--client-key', tls('client.key')];
  expect(await output('rpc-auth', ...server, ...client)).toEqual([
    'certificate: client',
    'certificate: it is open for client',
  ]);
});
