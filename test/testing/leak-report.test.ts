/** What assertNoLeaks() reports, and how often. */
import { expect, test } from 'vitest';
import { contract, implement, serverStream, unary } from '../../src/rpc/index.js';
import { assertNoLeaks, callHandler, leaks, simulate } from '../../src/testing/index.js';
import { connect, lines, serve } from '../../src/transport/index.js';
import { gate, until } from '../fixtures/waiting.js';

const setup = { codec: lines(), listener: { onMessage() {} } };
const Numbers = contract('Numbers', { count: serverStream<number, number>() });
const numbers = implement(Numbers, {
  async *count(first, { signal }) {
    yield first;
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
  },
});

async function report(): Promise<string> {
  return assertNoLeaks({ timeout: 0 }).then(
    () => '',
    ({ message }) => message,
  );
}

test('reports each resource once, and what it makes later not at all', async () => {
  const server = await serve('memory://reported-once', setup);
  const first = await connect(server.address, setup);
  expect(await report()).toContain('server at memory://reported-once');
  const second = await connect(server.address, setup);
  const next = await report();
  expect(next).toMatch(/^2 resources of getty-ts are left:\nclient of memory:/);
  expect(next).not.toContain('server at');
  expect(leaks().length).toBeGreaterThan(4);
  expect(await report()).toBe('');
  for (const end of [first, second, server]) await end.close();
  expect(await report()).toBe('');
});

test('shows with each endpoint what it holds, and one stack', async () => {
  const server = await serve('memory://holding', setup);
  const client = await connect(server.address, setup);
  const text = await report();
  expect(text.match(/leak-report\.test\.ts/g)).toHaveLength(2);
  expect(text).toMatch(
    /server at memory:\/\/holding\n(?: {4}at .*\n)+ {2}holds session \d+ of a server/,
  );
  expect(text).toMatch(/\n1 timer of the resources above$/);
  await client.close();
  await server.close();
});

test('names a run of callHandler() that was not read to its end', async () => {
  const replies = callHandler(numbers, 'count', 1)[Symbol.asyncIterator]();
  expect((await replies.next()).value).toBe(1);
  const text = await report();
  expect(text).toMatch(/left:\nserver of callHandler\(Numbers\.count\)\n/);
  expect(text).toMatch(/holds client of callHandler\(Numbers\.count\)\n {2}holds stream Numbers/);
  expect(text.match(/leak-report\.test\.ts/g)).toHaveLength(1);
  await replies.return?.();
  expect(await report()).toBe('');
});

test('names the run of callHandler() whose handler still runs', async () => {
  const Deaf = contract('Deaf', {
    wait: unary<void, void>(),
    listen: serverStream<void, number>(),
  });
  const { promise, open } = gate<void>();
  const deaf = implement(Deaf, {
    wait: () => promise,
    async *listen() {
      yield 1;
      await promise;
    },
  });
  await expect(callHandler(deaf, 'wait', undefined, { timeout: 1 })).rejects.toThrow();
  expect(await report()).toMatch(
    /^1 resource of getty-ts is left:\nhandler Deaf\.wait of callHandler\(Deaf\.wait\) still runs/,
  );
  for await (const _ of callHandler(deaf, 'listen', undefined)) break;
  const text = await report();
  expect(text).toContain(
    'handler Deaf.listen of callHandler(Deaf.listen) still runs after the end',
  );
  expect(text).toContain('leak-report.test.ts');
  open();
  await until(() => leaks().length === 0, 'the end of the handlers');
});

test('in a scenario it waits in virtual time', async () => {
  const run = simulate({ seed: 3 }, async ({ host }) => {
    await host('a', () => serve('sim://a:1000', setup)).ready();
    await assertNoLeaks();
  });
  await expect(run).rejects.toMatchObject({
    code: 'SIMULATION_FAILED',
    message: expect.stringContaining(
      'the scenario failed: 1 resource of getty-ts is left:\nserver',
    ),
  });
  const { duration } = await simulate({}, async ({ host, clock }) => {
    const server = await host('a', () => serve('sim://a:1000', setup)).ready();
    setTimeout(() => void server.close(), 30_000);
    await assertNoLeaks({ timeout: 60_000 });
    return clock.now;
  });
  expect(duration).toBeGreaterThan(29_000);
  expect(duration).toBeLessThan(31_000);
});

test('does not report what the hosts of a simulation had', async () => {
  await simulate({}, async ({ host }) => {
    const a = host('a', () => serve('sim://a:1000', setup));
    const b = host('b', () => serve('sim://b:1000', setup));
    await Promise.all([a.ready(), b.ready()]);
    await connect('sim://a:1000', setup);
    b.crash();
    const found = leaks().map(({ description }) => description);
    expect(found).toContain('server at sim://a:1000');
    expect(found).not.toContain('server at sim://b:1000');
  });
  expect(leaks()).toEqual([]);
});
