/**
 * Outages of ZooKeeper servers that outages.test.ts does not have: with processes that start and
 * end, ensembles and the demo.
 */
import { type ChildProcess, execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import type { ZooKeeperRegistryOptions } from '../../../src/registries/zookeeper/index.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { collectGarbage } from '../../fixtures/garbage.js';
import { elapse, until, within } from '../../fixtures/waiting.js';
import { Network } from '../../fixtures/zookeeper-network.js';
import {
  startEnsemble,
  startZooKeeper,
  type ZooKeeperServer,
} from '../../fixtures/zookeeper-server.js';
import { ROOT, ZooKeeperScenario } from './zookeeper-scenario.js';

/** The tests wait most of the time, so they run together. Each has a server of its own. */
describe.concurrent('while ZooKeeper', { timeout: INSTALL_TIMEOUT }, () => {
  const servers: ZooKeeperServer[] = [];
  const proxies: Network[] = [];
  afterAll(async () => {
    for (const server of servers) await server.stop();
    for (const proxy of proxies) await proxy.close();
  });

  async function startServer(): Promise<ZooKeeperServer> {
    const started = await startZooKeeper();
    servers.push(started);
    return started;
  }

  /** A scenario with the providers `a`, `b` and a process with `c`, and calls. */
  async function openScenario(
    server: ZooKeeperServer,
    options: ZooKeeperRegistryOptions,
    hosts?: string,
  ): Promise<{ scenario: ZooKeeperScenario; c: ChildProcess }> {
    const scenario = new ZooKeeperScenario([server], options, hosts);
    await scenario.provide('a');
    await scenario.provide('b');
    const c = await scenario.spawn('c');
    await scenario.untilListed('a', 'b', 'c');
    scenario.startCalls();
    return { scenario, c };
  }

  test.each([
    ['1 s, less than a session', 1_000],
    ['20 s, more than a session', 20_000],
  ])(
    'is killed for %s, no call fails, and the list has the living providers afterwards',
    async (_, downtime) => {
      const server = await startServer();
      const { scenario, c } = await openScenario(server, {});
      await using _ended = scenario;
      await server.kill();
      await scenario.log.waitFor('ZooKeeper cannot be reached');
      await elapse(downtime / 2);
      // One provider is killed and another one starts during the outage.
      c.kill('SIGKILL');
      await within(scenario.provide('d'), 'a provider that starts during the outage');
      await elapse(downtime / 2);
      expect(scenario.resolver.nodes().length).toBe(3);
      await server.start();
      const restart = performance.now();
      await scenario.untilPublished(['a', 'b', 'd'], 'c');
      const published = performance.now() - restart;
      await scenario.untilListed('a', 'b', 'd');
      const listed = performance.now() - restart;
      expect(scenario.failures).toEqual([]);
      // The log has one line for each change.
      expect(scenario.log.linesWith('registry: ZooKeeper ').map(({ level }) => level)).toEqual([
        'warn',
        'info',
      ]);
      // Every list has the living providers.
      scenario.expectLists('a,b,c', /^a,b/);
      console.info(
        `killed for ${downtime} ms: published after ${Math.round(published)} ms, listed after ${Math.round(listed)} ms`,
      );
    },
  );

  // The session has its default timeout. A busy machine loses shorter ones again.
  test('is frozen for more than a session, the outage is logged, and the list has the living providers afterwards', async () => {
    const server = await startServer();
    const { scenario, c } = await openScenario(server, {});
    await using _ended = scenario;
    const outages = scenario.log.linesWith('ZooKeeper cannot be reached').length;
    await server.freeze();
    const start = performance.now();
    await scenario.log.waitFor('ZooKeeper cannot be reached', outages + 1);
    const logged = performance.now() - start;
    c.kill('SIGKILL');
    await elapse(15_000 - logged);
    server.thaw();
    const restart = performance.now();
    await scenario.untilListed('a', 'b');
    const listed = performance.now() - restart;
    await scenario.untilPublished(['a', 'b']);
    expect(scenario.failures).toEqual([]);
    scenario.expectLists('a,b,c', /^a,b/);
    console.info(
      `frozen for 15 s: logged after ${Math.round(logged)} ms, listed ${Math.round(listed)} ms after the end`,
    );
  });

  test('has one of three servers frozen, the sessions move to the others, and no call fails', async () => {
    const ensemble = await startEnsemble(3);
    servers.push(...ensemble);
    const scenario = new ZooKeeperScenario(ensemble, { sessionTimeout: 8_000 });
    await using _ended = scenario;
    for (const id of ['a', 'b', 'c', 'd', 'e']) await scenario.provide(id);
    await scenario.untilListed('a', 'b', 'c', 'd', 'e');
    scenario.startCalls();
    const frozen = ensemble[1] as ZooKeeperServer;
    await frozen.freeze();
    await elapse(12_000);
    await scenario.untilPublished(['a', 'b', 'c', 'd', 'e']);
    frozen.thaw();
    await elapse(1_000);
    expect(scenario.failures).toEqual([]);
    scenario.expectLists('a,b,c,d,e', /^a,b,c,d,e$/);
    await scenario.untilPublished(['a', 'b', 'c', 'd', 'e']);
  });

  test('loses connections often, each registry has one connection, and no memory leaks', async () => {
    const server = await startServer();
    const proxy = await Network.open(server.port);
    proxies.push(proxy);
    const { scenario } = await openScenario(
      server,
      { sessionTimeout: 10_000, settleTime: 200 },
      proxy.address,
    );
    await using _ended = scenario;
    const heapWhenListed = async (): Promise<number> => {
      await scenario.untilListed('a', 'b', 'c');
      return heapUsed();
    };
    let before = 0;
    const start = performance.now();
    for (let round = 0; round < 60; round++) {
      proxy.cut();
      await elapse(100 + Math.random() * 200);
      if (round === 20) before = await heapWhenListed();
    }
    const growth = (await heapWhenListed()) - before;
    // The clients are two providers and the consumer of this process, and the other process.
    await scenario.untilPublished(['a', 'b', 'c']);
    await until(() => proxy.connections <= 4, 'a connection for each registry is left');
    await until(async () => (await server.connections()) === 4, 'each registry has its session');
    expect(growth).toBeLessThan(4 * 1024 * 1024);
    expect(scenario.failures).toEqual([]);
    console.info(
      `cut 60 times in ${Math.round(performance.now() - start)} ms: the heap grew by ${Math.round(growth / 1024)} KiB over the last 40`,
    );
  });

  test('ends a session or deletes an entry, no call fails, and the entries are published again', async () => {
    const server = await startServer();
    const { scenario } = await openScenario(server, { sessionTimeout: 4_000 });
    await using _ended = scenario;
    const [path = ''] = (await server.entries(ROOT)).keys();
    const start = performance.now();
    await server.expire((await server.owner(path)) as bigint);
    await scenario.untilPublished(['a', 'b', 'c']);
    await server.remove(path);
    await scenario.untilPublished(['a', 'b', 'c']);
    const took = performance.now() - start;
    expect(scenario.failures).toEqual([]);
    // The list can be empty until all providers have published their entries again.
    await server.remove(ROOT);
    await scenario.untilPublished(['a', 'b', 'c']);
    await scenario.untilListed('a', 'b', 'c');
    console.info(`a session and an entry are lost: published again after ${Math.round(took)} ms`);
  });

  test('is the registry of the demo, no call fails', async () => {
    const server = await startServer();
    const demo = fileURLToPath(new URL('../../../build/demo/main.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [
      demo,
      '--duration',
      '3s',
      '--rate',
      '200',
      '--json',
      '--registry',
      server.url(ROOT),
    ]);
    expect(JSON.parse(stdout.trim().split('\n').at(-1) as string)).toMatchObject({ failed: 0 });
    expect(await server.entries(ROOT)).toEqual(new Map());
  });
});

/** The size of the heap after a garbage collection, in bytes. */
function heapUsed(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().heapUsed;
}
