/** The examples with Express, Fastify and Nest: calls and ordinary requests at one port. */
import { expect, it } from 'vitest';
import { connect, contract, unary } from '../../src/rpc/index.js';
import { runProgram } from '../fixtures/programs.js';

const Greeter = contract('Greeter', { hello: unary<string, string>() });

it.each([
  ['express', 'hello from Express'],
  ['fastify', 'hello from Fastify'],
  ['nest', 'hello from Nest'],
])('%s: serves calls beside ordinary requests, and ends at SIGINT', async (name, greeting) => {
  // The first one installs the packages.
  await using program = runProgram('scripts/example.mjs', 'http-servers', '--framework', name);
  const address = await program.line(/calls at (ws:.*\/rpc)$/);
  await using client = await connect(address, { reconnect: false });
  expect(await client.stub(Greeter).hello('Ann')).toBe('hello, Ann');
  const response = await fetch(address.replace('ws:', 'http:').replace('/rpc', '/'));
  expect(await response.text()).toBe(greeting);
  // With an open session.
  program.child.kill('SIGINT');
  expect(await program.ended).toBe(0);
});
