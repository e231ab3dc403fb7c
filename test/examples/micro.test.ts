/** The examples of the micro layer, on real registries. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { EtcdServer } from '../fixtures/etcd-server.js';
import { type Program, runExample } from '../fixtures/programs.js';
import { startZooKeeper } from '../fixtures/zookeeper-server.js';

interface RunningRegistry {
  /** The URL for `--registry`. */
  readonly url: string;
  stop(): Promise<void>;
}

const REGISTRIES: readonly { readonly name: string; start(): Promise<RunningRegistry> }[] = [
  {
    name: 'etcd',
    async start() {
      const server = await EtcdServer.started();
      return { url: server.url('/getty'), stop: () => server.stop() };
    },
  },
  {
    name: 'zookeeper',
    async start() {
      const server = await startZooKeeper();
      return { url: server.url('/getty'), stop: () => server.stop() };
    },
  },
  {
    name: 'file',
    async start() {
      const directory = await mkdtemp(join(tmpdir(), 'getty-example-'));
      return {
        url: pathToFileURL(directory).href,
        stop: () => rm(directory, { recursive: true, force: true }),
      };
    },
  },
];

describe.each(REGISTRIES)('with the registry $name', ({ start }) => {
  let registry: RunningRegistry;
  beforeAll(async () => {
    registry = await start();
  }, INSTALL_TIMEOUT);
  afterAll(() => registry.stop());

  const provider = (id: string): Program =>
    runExample('micro', '--provider', '--id', id, '--registry', registry.url);

  it('micro: reports providers that join and leave, and calls the present ones', async () => {
    await using a = provider('a');
    await a.line(/a offers Greeter/);
    await using consumer = runExample(
      'micro',
      '--consumer',
      '--registry',
      registry.url,
      '--interval',
      '20',
    );
    expect(await consumer.line(/added (\w+) at tcp:/)).toBe('a');
    expect(await consumer.line(/hello, \d+, from (\w+)/)).toBe('a');
    await using b = provider('b');
    expect(await consumer.line(/added (\w+) at tcp:/)).toBe('b');
    a.child.kill('SIGINT');
    expect(await consumer.line(/removed (\w+)/)).toBe('a');
    expect(await a.ended).toBe(0);
    expect(a.lines.all.at(-1)).toBe('closed');
    // A call in flight may still be answered by the closed provider.
    await consumer.line(/hello, \d+, from b$/);
    consumer.child.kill('SIGINT');
    expect(await consumer.ended).toBe(0);
    expect(consumer.lines.all.at(-1)).toMatch(
      /^b: (receives calls|new: receives \d+ % of its share)$/,
    );
    // No call has failed.
    expect(consumer.lines.all.filter((line) => line.includes('Error'))).toEqual([]);
    b.child.kill('SIGINT');
    expect(await b.ended).toBe(0);
  });

  it('micro-self-defined-balancer: calls a provider of the group that the call names', async () => {
    await using program = runExample('micro-self-defined-balancer', '--registry', registry.url);
    expect(await program.ended).toBe(0);
    const [, , third = '', fourth = ''] = program.lines.all;
    expect(program.lines.all.slice(0, 2)).toEqual([
      'group 1: user 10 found by first',
      'group 1: user 11 found by first',
    ]);
    expect([third, fourth].map((line) => line.replace(/.* by /, '')).sort()).toEqual([
      'another-second',
      'second',
    ]);
    expect(program.lines.all[4]).toBe('group 3: RpcError: no node of group 3');
    expect(program.lines.all).toHaveLength(5);
  });
});
