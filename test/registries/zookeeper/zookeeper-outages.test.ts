/**
 * Outages of ZooKeeper for providers and consumers: real servers are killed, frozen and
 * disconnected during calls.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, describe, expect, test } from 'vitest';
import {
  type Consumer,
  consume,
  type Provider,
  provide,
  type Resolver,
} from '../../../src/micro/index.js';
import type { Registry } from '../../../src/micro/types.js';
import {
  type ZooKeeperRegistryOptions,
  zookeeper,
} from '../../../src/registries/zookeeper/index.js';
import { contract, implement, unary } from '../../../src/rpc/index.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { Log } from '../../fixtures/registries.js';
import { elapse, PROCESS_PATIENCE, until, within } from '../../fixtures/waiting.js';
import { Network } from '../../fixtures/zookeeper-network.js';
import {
  startEnsemble,
  startZooKeeper,
  type ZooKeeperServer,
} from '../../fixtures/zookeeper-server.js';

const SCRIPT = fileURLToPath(new URL('../../fixtures/zookeeper-provider.mjs', import.meta.url));
const Who = contract(
  'Who',
  { who: unary<string, string>({ idempotent: true }) },
  { version: 'v1' },
);
const ROOT = '/outages';
/** Milliseconds between calls. */
const PACE = 5;

/** Providers, a consumer that calls all the time, and what came of it. */
class OutageScenario implements AsyncDisposable {
  readonly log = new Log();
  readonly failures: unknown[] = [];
  /** Calls answered since the last look, by provider. */
  answers = new Map<string, number>();
  readonly #servers: readonly ZooKeeperServer[];
  readonly #hosts: string;
  readonly #options: ZooKeeperRegistryOptions;
  readonly #registries: Registry[] = [];
  readonly #providers: Provider[] = [];
  readonly #children: ChildProcess[] = [];
  readonly consumer: Consumer;
  readonly resolver: Resolver;
  /** Every list, as ids. */
  readonly lists: string[] = [];
  #calling: Promise<void> | undefined;
  #stopped = false;

  constructor(
    servers: readonly ZooKeeperServer[],
    options: ZooKeeperRegistryOptions,
    hosts = servers.map(({ address }) => address).join(),
  ) {
    this.#servers = servers;
    this.#hosts = hosts;
    this.#options = options;
    this.consumer = consume({ registry: this.#open(this.log) });
    this.resolver = this.consumer.resolver(Who);
    this.resolver.onChange((_, nodes) => void this.lists.push(nodes.map(({ id }) => id).join()));
  }

  #open(logger?: Log): Registry {
    const registry = zookeeper(this.#hosts, { root: ROOT, logger, ...this.#options });
    this.#registries.push(registry);
    return registry;
  }

  async provide(id: string, options: { fails?: boolean } = {}): Promise<Provider> {
    const registry = zookeeper(this.#hosts, {
      root: ROOT,
      ...this.#options,
      waitForRegistry: !options.fails,
    });
    this.#registries.push(registry);
    const provider = await provide({
      registry,
      id,
      address: 'tcp://127.0.0.1:0',
      services: [implement(Who, { who: () => id })],
    });
    this.#providers.push(provider);
    return provider;
  }

  /** A provider in a process of its own. */
  async spawn(id: string): Promise<ChildProcess> {
    const url = `zookeeper://${this.#hosts}${ROOT}`;
    const child = spawn(process.execPath, [SCRIPT, url, JSON.stringify(this.#options), id], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#children.push(child);
    await within(
      once(child.stdout as NodeJS.ReadableStream, 'data'),
      'the provider process',
      PROCESS_PATIENCE,
    );
    return child;
  }

  /** Until the consumer's list is this one. Answers how many milliseconds that took. */
  async listed(...ids: string[]): Promise<number> {
    const began = performance.now();
    const wanted = ids.join();
    const present = (): string =>
      this.resolver
        .nodes()
        .map(({ id }) => id)
        .join();
    await until(
      () => present() === wanted,
      () => `the list is [${wanted}]; lists so far: ${this.lists.join(' | ')}`,
    );
    return performance.now() - began;
  }

  /** Until the registry itself has these, and nobody else but `perhaps`. */
  async published(ids: readonly string[], perhaps = ''): Promise<number> {
    const began = performance.now();
    let found: readonly string[] = [];
    await until(
      async () => {
        const entries = await this.#servers[0]
          ?.entries(ROOT)
          .catch(() => new Map<string, string>());
        found = [...(entries?.keys() ?? [])]
          .map((path) => path.split('/').at(-1) as string)
          .filter((id) => id !== perhaps)
          .sort();
        return `${found}` === `${ids}`;
      },
      () => `the server has the entries [${ids}], it has [${found}]`,
    );
    return performance.now() - began;
  }

  /** Call from now on, at a steady pace. */
  call(): void {
    const stub = this.consumer.stub(Who);
    const one = async (): Promise<void> => {
      try {
        const id = await stub.who('');
        this.answers.set(id, (this.answers.get(id) ?? 0) + 1);
      } catch (error) {
        this.failures.push(error);
      }
    };
    this.#calling = (async () => {
      while (!this.#stopped) {
        void one();
        await elapse(PACE);
      }
    })();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#calling;
    await this.consumer.close();
    for (const provider of this.#providers) await provider.close();
    for (const registry of this.#registries) await registry[Symbol.asyncDispose]();
    for (const child of this.#children) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    // No connection is left.
    for (const server of this.#servers)
      await until(async () => (await server.connections()) === 0, 'every connection has ended');
  }
}

/** The cases wait most of the time, so they do it together; each has its own server. */
describe.concurrent('while ZooKeeper', { timeout: INSTALL_TIMEOUT }, () => {
  const servers: ZooKeeperServer[] = [];
  const networks: Network[] = [];
  afterAll(async () => {
    for (const server of servers) await server.stop();
    for (const network of networks) await network.close();
  });

  async function server(): Promise<ZooKeeperServer> {
    const started = await startZooKeeper();
    servers.push(started);
    return started;
  }

  /** Providers a, b and a process c, listed and called. */
  async function scene(
    own: ZooKeeperServer,
    options: ZooKeeperRegistryOptions,
    hosts?: string,
  ): Promise<{ scene: OutageScenario; c: ChildProcess }> {
    const made = new OutageScenario([own], options, hosts);
    await made.provide('a');
    await made.provide('b');
    const c = await made.spawn('c');
    await made.listed('a', 'b', 'c');
    made.call();
    return { scene: made, c };
  }

  test.each([
    ['1 s, the sessions live on', 8_000, 1_000],
    ['9 s, the sessions would have ended', 5_000, 9_000],
    ['20 s, with the default session', 10_000, 20_000],
  ])(
    'is killed for %s: no call fails, and the list is correct afterwards',
    async (_, sessionTimeout, away) => {
      const own = await server();
      const { scene: scenario, c } = await scene(own, { sessionTimeout });
      await using _play = scenario;
      await own.kill();
      await scenario.log.said('ZooKeeper is away');
      await elapse(away / 2);
      // Meanwhile one provider is killed, and another one starts.
      c.kill('SIGKILL');
      await within(scenario.provide('d'), 'a provider without a registry');
      await elapse(away / 2);
      expect(scenario.resolver.nodes().length).toBe(3);
      await own.start();
      const back = performance.now();
      await scenario.published(['a', 'b', 'd'], 'c');
      const visible = performance.now() - back;
      await scenario.listed('a', 'b', 'd');
      const settled = performance.now() - back;
      expect(scenario.failures).toEqual([]);
      // One line each. On a busy machine a short session may lose its connection once more.
      expect(
        scenario.log
          .having('ZooKeeper is')
          .map(({ level }) => level)
          .join(),
      ).toMatch(sessionTimeout < 10_000 ? /^(warn,info,?)+$/ : /^warn,info$/);
      // Every list had every living provider.
      for (const list of scenario.lists.slice(scenario.lists.indexOf('a,b,c')))
        expect(list).toMatch(/^a,b/);
      console.info(
        `killed for ${away} ms: visible after ${Math.round(visible)} ms, true after ${Math.round(settled)} ms`,
      );
    },
  );

  test.each([
    // The session is short, but long enough for a busy machine.
    ['9 s, beyond the sessions', 5_000, 9_000],
    ['15 s, with the default session', 10_000, 15_000],
  ])(
    'is frozen for %s: the outage is noticed, and the list has exactly the living providers afterwards',
    async (_, sessionTimeout, frozen) => {
      const own = await server();
      const { scene: scenario, c } = await scene(own, { sessionTimeout });
      await using _play = scenario;
      const outages = scenario.log.having('ZooKeeper is away').length;
      own.freeze();
      const began = performance.now();
      await scenario.log.said('ZooKeeper is away', outages + 1);
      const noticed = performance.now() - began;
      c.kill('SIGKILL');
      await elapse(frozen - noticed);
      own.thaw();
      const back = performance.now();
      await scenario.listed('a', 'b');
      const settled = performance.now() - back;
      await scenario.published(['a', 'b']);
      expect(scenario.failures).toEqual([]);
      for (const list of scenario.lists.slice(scenario.lists.indexOf('a,b,c')))
        expect(list).toMatch(/^a,b/);
      console.info(
        `frozen for ${frozen} ms: noticed after ${Math.round(noticed)} ms, true ${Math.round(settled)} ms after the thaw`,
      );
    },
  );

  test('has one of three servers frozen: the sessions move to the others, and no call fails', async () => {
    const ensemble = await startEnsemble(3);
    servers.push(...ensemble);
    const scenario = new OutageScenario(ensemble, { sessionTimeout: 4_000 });
    await using _play = scenario;
    for (const id of ['a', 'b', 'c', 'd', 'e']) await scenario.provide(id);
    await scenario.listed('a', 'b', 'c', 'd', 'e');
    scenario.call();
    const frozen = ensemble[1] as ZooKeeperServer;
    frozen.freeze();
    await elapse(6_000);
    await scenario.published(['a', 'b', 'c', 'd', 'e']);
    frozen.thaw();
    await elapse(1_000);
    expect(scenario.failures).toEqual([]);
    for (const list of scenario.lists.slice(scenario.lists.indexOf('a,b,c,d,e')))
      expect(list).toBe('a,b,c,d,e');
    await scenario.published(['a', 'b', 'c', 'd', 'e']);
  });

  test('loses its connections many times: nothing leaks', async () => {
    const own = await server();
    const proxy = await Network.open(own.port);
    networks.push(proxy);
    const { scene: scenario } = await scene(
      own,
      { sessionTimeout: 10_000, settleTime: 200 },
      proxy.address,
    );
    await using _play = scenario;
    const settle = async (): Promise<number> => {
      await scenario.listed('a', 'b', 'c');
      return used();
    };
    let first = 0;
    const began = performance.now();
    for (let round = 0; round < 60; round++) {
      proxy.cut();
      await elapse(100 + Math.random() * 200);
      if (round === 20) first = await settle();
    }
    const grown = (await settle()) - first;
    // Two providers and the consumer of this process, and one provider process.
    await scenario.published(['a', 'b', 'c']);
    await until(() => proxy.connections <= 4, 'a connection for each registry is left');
    await until(async () => (await own.connections()) === 4, 'each registry has its session');
    expect(grown).toBeLessThan(4 * 1024 * 1024);
    expect(scenario.failures).toEqual([]);
    console.info(
      `cut 60 times in ${Math.round(performance.now() - began)} ms: the heap grew by ${Math.round(grown / 1024)} KiB over the last 40`,
    );
  });

  test('deletes a session or an entry: no call fails, and the entries are published again', async () => {
    const own = await server();
    const { scene: scenario } = await scene(own, { sessionTimeout: 4_000 });
    await using _play = scenario;
    const [path = ''] = (await own.entries(ROOT)).keys();
    const began = performance.now();
    await own.expire((await own.owner(path)) as bigint);
    await scenario.published(['a', 'b', 'c']);
    await own.remove(path);
    await scenario.published(['a', 'b', 'c']);
    const took = performance.now() - began;
    expect(scenario.failures).toEqual([]);
    // Then the list is empty until all providers are back.
    await own.remove(ROOT);
    await scenario.published(['a', 'b', 'c']);
    await scenario.listed('a', 'b', 'c');
    console.info(`a session and an entry lost by hand: back after ${Math.round(took)} ms`);
  });

  test('has a provider killed with -9: its calls fail over at once, and its entry is gone after its session', async () => {
    const own = await server();
    const { scene: scenario, c } = await scene(own, { sessionTimeout: 3_000 });
    await using _play = scenario;
    c.kill('SIGKILL');
    await once(c, 'exit');
    scenario.answers = new Map();
    const gone = await scenario.listed('a', 'b');
    expect(scenario.failures).toEqual([]);
    expect([...scenario.answers.keys()].sort()).toEqual(['a', 'b']);
    console.info(`killed provider: gone after ${Math.round(gone)} ms, no call failed`);
  });

  test('is absent at the start: providers and consumers log this, and work when it appears', async () => {
    const own = await server();
    await own.kill();
    const scenario = new OutageScenario([own], { sessionTimeout: 4_000, operationTimeout: 500 });
    await using _play = scenario;
    await expect(scenario.provide('strict', { fails: true })).rejects.toMatchObject({
      code: 'REGISTRY_FAILED',
    });
    await within(scenario.provide('a'), 'a provider without a registry');
    const early = scenario.consumer
      .stub(Who)
      .who('', { timeout: 60_000 })
      .catch((error) => error.code);
    await scenario.log.said('ZooKeeper is away');
    await own.start();
    expect(await early).toMatch(/^a$|^UNAVAILABLE$/);
    await scenario.listed('a');
    expect(await scenario.consumer.stub(Who).who('')).toBe('a');
    await scenario.published(['a']);
  });

  test('serves the demo: no call fails', async () => {
    const own = await server();
    const demo = fileURLToPath(new URL('../../../build/demo/main.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [
      demo,
      '--duration',
      '3s',
      '--rate',
      '200',
      '--json',
      '--registry',
      own.url(ROOT),
    ]);
    expect(JSON.parse(stdout.trim().split('\n').at(-1) as string)).toMatchObject({ failed: 0 });
    expect(await own.entries(ROOT)).toEqual(new Map());
  });

  test('has invalid entries: the valid ones work', async () => {
    const own = await server();
    const { scene: scenario } = await scene(own, { sessionTimeout: 4_000 });
    await using _play = scenario;
    const [path = ''] = (await own.entries(ROOT)).keys();
    const folder = path.slice(0, path.lastIndexOf('/'));
    await own.put(`${folder}/megabyte`, Buffer.alloc(1024 * 1024 + 100, 'x'));
    await own.put(`${folder}/binary`, Buffer.from([0xff, 0xfe, 0x00]));
    await own.put(`${folder}/null`, 'null');
    await own.put(`${ROOT}/foreign/a/b`, 'x');
    await scenario.provide('d');
    await scenario.listed('a', 'b', 'c', 'd');
    for (const name of ['megabyte', 'binary', 'null', 'foreign'])
      expect([name, scenario.log.having(name).length]).toEqual([name, 1]);
    expect(scenario.failures).toEqual([]);
  });
});

/** Bytes of the heap after a collection. */
function used(): number {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}
