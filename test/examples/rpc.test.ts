/** The output of the examples of rpc. */
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { runExample } from '../fixtures/programs.js';

const tls = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/tls/${name}.pem`, import.meta.url));

/** Runs an example, which must end with exit code 0. Returns its lines. */
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

it('rpc: makes every kind of call in one process', async () => {
  const lines = await output('rpc');
  expect(lines[0]).toBe('shop at tcp://HERE');
  expect(lines.slice(1).filter((line) => line !== 'Ann was here')).toEqual(CALLS);
  expect(lines).toContain('Ann was here');
});

it.each(['tcp', 'ws'])('rpc: runs server and client in two processes over %s', async (scheme) => {
  await using server = runExample('rpc', '--server', '--address', `${scheme}://127.0.0.1:0`);
  const address = await server.line(/shop at (.*)/);
  expect(await output('rpc', '--client', '--address', address)).toEqual(CALLS);
  await server.line(/Ann was here/);
});

it('rpc-protobuf: calls a service from a .proto file', async () => {
  expect(await output('rpc-protobuf')).toEqual([
    'order 1 costs 7',
    'order 1 was 2 tea',
    '4 orders by now, the last three for 18',
    'milk: NOT_FOUND – there is no milk here',
    'in JSON: order 5 costs 12',
  ]);
});

it('rpc-bidirectional: calls the calling agent back, and then all agents', async () => {
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
  // Ben has left.
  await cid.line(/Cid is told: welcome, Cid; with you we are 2/);
  expect(office.lines.all.filter((line) => line.startsWith('Ben says'))).toEqual([]);
});

it('rpc-bidirectional: runs office and agents in one process', async () => {
  const lines = await output('rpc-bidirectional');
  expect(lines).toContain('Ann hears: Ben is in, and feels sleepy');
  expect(lines.at(-1)).toBe('Ben is told: welcome, Ben; with you we are 2');
});

it('rpc-streams: streams in every direction, with a reader that leaves and one that is slow', async () => {
  const lines = await output('rpc-streams');
  const endOfPrimes = 'primes: the reader has left';
  expect(lines).toContain(endOfPrimes);
  expect(lines.filter((line) => line !== endOfPrimes)).toEqual([
    'primes: 101 103 107 109 113',
    'sum: 10',
    'averages: 10 15 30',
    'a sum meanwhile: 4950',
    'less than 100 of 1000 blocks made while the reader waits: true',
    'blocks read in the end: 1000',
  ]);
});

it('rpc-auth: permits calls by the scopes of tokens', async () => {
  expect(await output('rpc-auth')).toEqual([
    'Ann: Ann',
    'Ann: it is open for Ann',
    'Ben: Ben',
    'Ben: PERMISSION_DENIED – you may not call Vault.open',
    'no token: UNAUTHENTICATED – the credentials were not accepted: the call has no bearer token',
    'no token: UNAUTHENTICATED – the credentials were not accepted: the call has no bearer token',
    'other issuer: UNAUTHENTICATED – the credentials were not accepted',
    'other issuer: UNAUTHENTICATED – the credentials were not accepted',
  ]);
});

it('rpc-auth: identifies a client by its certificate', async () => {
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
