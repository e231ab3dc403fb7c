/** The built package loads, and its layers work together. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { file } from 'getty-ts/file';
import { consume, failover, provide, roundRobin } from 'getty-ts/micro';
import { contract, implement, serverStream, unary } from 'getty-ts/rpc';
import { expect, test } from 'vitest';

const MANIFEST = fileURLToPath(new URL('../../package.json', import.meta.url));

const Counter = contract('Counter', {
  hello: unary<string, string>({ idempotent: true }),
  count: serverStream<number, number>(),
});

test('every entry point loads', async () => {
  const { exports } = JSON.parse(await readFile(MANIFEST, 'utf8')) as { exports: object };
  const paths = Object.keys(exports).filter((path) => path !== './package.json');
  expect(paths).toContain('.');
  for (const path of paths) {
    const module = await import(`getty-ts${path.slice(1)}`);
    expect(Object.keys(module).length, path).toBeGreaterThan(0);
  }
});

test('a consumer calls two providers that it finds in a directory', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'getty-runtimes-'));
  try {
    await using registry = file(directory);
    const start = (name: string) =>
      provide({
        registry,
        id: name,
        address: 'tcp://127.0.0.1:0',
        services: [
          implement(Counter, {
            hello: (input) => `${name}: ${input}`,
            async *count(to) {
              for (let number = 1; number <= to; number++) yield number;
            },
          }),
        ],
      });
    await using _north = await start('north');
    await using _south = await start('south');
    await using consumer = consume({ registry, balancer: roundRobin(), strategy: failover() });
    const stub = consumer.stub(Counter);
    const answers = [await stub.hello('Ann'), await stub.hello('Ann')];
    expect(answers.sort()).toEqual(['north: Ann', 'south: Ann']);
    const numbers: number[] = [];
    for await (const number of stub.count(3)) numbers.push(number);
    expect(numbers).toEqual([1, 2, 3]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
