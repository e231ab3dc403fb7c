/** A consumer without free file descriptors, and a provider at its limit of sessions. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { consume, provide } from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import { connect, contract, implement, serve, unary } from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { PROCESS_PATIENCE } from '../fixtures/waiting.js';

noLeaks();

const Greeter = contract('Greeter', { hello: unary<void, string>() });
const PROGRAM = fileURLToPath(new URL('../fixtures/descriptor-consumer.mjs', import.meta.url));

test.skipIf(process.platform === 'win32').each(['tcp', 'ws', 'udp'])(
  '%s: calls fail with UNAVAILABLE, unsent, until descriptors are free again',
  async (scheme) => {
    await using server = await serve(`${scheme}://127.0.0.1:0`, [
      implement(Greeter, { hello: () => 'hello' }),
    ]);
    const limited = [
      '-c',
      'ulimit -n 256; exec "$0" "$@"',
      process.execPath,
      PROGRAM,
      server.address,
    ];
    const child = spawn('/bin/sh', limited, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    try {
      const [[outcomes]] = (await Promise.all([once(child, 'message'), once(child, 'exit')])) as [
        [string[]],
        unknown,
      ];
      expect(child.exitCode).toBe(0);
      expect(outcomes.slice(0, -1)).toEqual(outcomes.slice(0, -1).map(() => 'UNAVAILABLE true'));
      expect(outcomes.at(-1)).toBe('hello');
    } finally {
      child.kill('SIGKILL');
    }
  },
  PROCESS_PATIENCE,
);

test('a provider at its limit of sessions loses no calls, also of methods that are not idempotent', async () => {
  await using registry = memory();
  let calls = 0;
  const services = [implement(Greeter, { hello: () => `hello ${++calls}` })];
  await using full = await provide({
    registry,
    services,
    address: 'tcp://127.0.0.1:0',
    maxSessions: 1,
    onRefused: () => {},
  });
  await using _occupant = await connect(full.address, { connections: 1 });
  await using _good = await provide({ registry, services, address: 'tcp://127.0.0.1:0' });
  await using consumer = consume({ registry });
  const stub = consumer.stub(Greeter);
  for (let call = 1; call <= 200; call++) expect(await stub.hello()).toBe(`hello ${call}`);
  expect(full.refusals.limit).toBeGreaterThan(0);
});
