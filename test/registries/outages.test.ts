/**
 * Failures of a registry: the table runs once per registry, on real servers, with calls during the
 * fault.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Consumer, consume, type Provider, provide } from '../../src/micro/index.js';
import { entryPath, entryValue } from '../../src/micro/registry-entry.js';
import type { Registry } from '../../src/micro/types.js';
import { registry as openRegistry, type RegistryOptions } from '../../src/registries/index.js';
import { contract, implement, unary } from '../../src/rpc/index.js';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { Log, Watching } from '../fixtures/registries.js';
import { EtcdServer, type RegistryServer } from '../fixtures/registry-servers.js';
import { TcpProxy } from '../fixtures/tcp-proxy.js';
import { elapse, PROCESS_PATIENCE, until, within } from '../fixtures/waiting.js';
import { createZooKeeper, type ZooKeeperServer } from '../fixtures/zookeeper-server.js';

const Greeter = contract(
  'Greeter',
  { hello: unary<string, string>({ idempotent: true }) },
  { version: 'v1' },
);
const PROVIDER = fileURLToPath(new URL('../fixtures/registry-provider.mjs', import.meta.url));
const ROOT = '/getty';
const INVALID_MARK = 'invalid';

interface OutageRow {
  readonly name: string;
  /** A server of the test's own, not started. */
  server(): Promise<RegistryServer>;
  /** The address of these hosts. */
  url(hosts: readonly { readonly host: string; readonly port: number }[], root: string): string;
  /**
   * Options for a lease or session of `ttl` milliseconds that notice a frozen server within it.
   */
  options(ttl: number): RegistryOptions;
  /** Of log lines that belong to an outage, besides that the registry is away and back. */
  readonly alsoSaid?: RegExp;
  /** What the log says of an entry outside of all attributes that is put at this path. */
  foreign(path: string): string;
  /**
   * Whether a watch fails with `waitForRegistry: false` while there is no registry. If not, it
   * waits.
   */
  readonly watchFails: boolean;
  /** Takes what the providers hold away from them: a lease, a session, an entry. */
  readonly interventions: Readonly<Record<string, (server: RegistryServer) => Promise<void>>>;
}

const ROWS: readonly OutageRow[] = [
  {
    name: 'etcd',
    server: () => EtcdServer.create(),
    url: (hosts, root) =>
      `etcd://${hosts.map(({ host, port }) => `${host}:${port}`).join(',')}${root}`,
    options: (ttl) => ({
      ttl,
      pingInterval: ttl / 4,
      pingTimeout: ttl / 4,
      requestTimeout: ttl / 3,
      dialTimeout: ttl / 4,
    }),
    foreign: (path) => path,
    watchFails: true,
    interventions: {
      async 'the lease is revoked by hand'(server) {
        const etcd = server as EtcdServer;
        for (const lease of await etcd.leases()) await etcd.revoke(lease);
      },
      async 'the entry is deleted by hand'(server) {
        for (const path of (await server.entries(ROOT)).keys()) await server.remove(path);
      },
    },
  },
  {
    name: 'zookeeper',
    server: () => createZooKeeper(),
    url: (hosts, root) =>
      `zookeeper://${hosts.map(({ host, port }) => `${host}:${port}`).join(',')}${root}`,
    // The keys are the same as in the row of etcd.
    options: (ttl) => ({
      ttl,
      requestTimeout: ttl / 3,
      sessionTimeout: ttl,
      settleTime: ttl / 2,
      operationTimeout: ttl / 3,
    }),
    alsoSaid: /the ZooKeeper session has expired/,
    // The registry checks the names, and not the entries below them.
    foreign: (path) => path.split('/')[0] as string,
    watchFails: false,
    interventions: {
      async 'the session is ended by hand'(server) {
        const zooKeeper = server as ZooKeeperServer;
        for (const path of (await server.entries(ROOT)).keys()) {
          const owner = await zooKeeper.owner(path);
          if (owner !== undefined) await zooKeeper.expire(owner);
        }
      },
      async 'the entry is deleted by hand'(server) {
        for (const path of (await server.entries(ROOT)).keys()) await server.remove(path);
      },
    },
  },
];

/** A server, providers and a consumer on it, and calls that go on until the end. */
class OutageScenario implements AsyncDisposable {
  readonly row: OutageRow;
  readonly server: RegistryServer;
  readonly options: RegistryOptions;
  readonly log = new Log();
  readonly providers: Provider[] = [];
  readonly failures: unknown[] = [];
  readonly answers = new Map<string, number>();
  readonly #registries: Registry[] = [];
  readonly #children: ChildProcess[] = [];
  readonly #proxies: TcpProxy[] = [];
  #consumer: Consumer | undefined;
  #calling: Promise<void> | undefined;
  #over = false;

  private constructor(row: OutageRow, server: RegistryServer, ttl: number) {
    this.row = row;
    this.server = server;
    this.options = row.options(ttl);
  }

  static async make(
    row: OutageRow,
    ttl: number,
    begin: 'started' | 'absent' = 'started',
  ): Promise<OutageScenario> {
    const scenario = new OutageScenario(row, await row.server(), ttl);
    if (begin === 'started') await scenario.server.start();
    return scenario;
  }

  async proxy(): Promise<TcpProxy> {
    const proxy = await TcpProxy.to(this.server);
    this.#proxies.push(proxy);
    return proxy;
  }

  async registry(url = this.server.url(ROOT), options: RegistryOptions = {}): Promise<Registry> {
    const opened = await openRegistry(url, { ...this.options, ...options });
    this.#registries.push(opened);
    return opened;
  }

  /** Providers `p1`, `p2` …, each with a registry of its own. */
  async provide(count: number, url?: string): Promise<void> {
    for (let i = 1; i <= count; i++) {
      const id = `p${this.providers.length + 1}`;
      const services = [implement(Greeter, { hello: (name) => `${id}: ${name}` })];
      this.providers.push(
        await provide({
          registry: await this.registry(url),
          id,
          address: 'tcp://127.0.0.1:0',
          services,
        }),
      );
    }
  }

  async spawn(id: string): Promise<ChildProcess> {
    const child = spawn(
      process.execPath,
      [PROVIDER, this.server.url(ROOT), JSON.stringify(this.options), id],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    this.#children.push(child);
    await within(
      once(child.stdout as NodeJS.ReadableStream, 'data'),
      'the provider process',
      PROCESS_PATIENCE,
    );
    return child;
  }

  async consume(url?: string): Promise<void> {
    this.#consumer = consume({
      registry: await this.registry(url, { logger: this.log }),
      timeout: 30_000,
    });
    this.#consumer.resolver(Greeter);
  }

  /** Call, one after the other and quickly, until the end. */
  async call(): Promise<void> {
    const stub = (this.#consumer as Consumer).stub(Greeter);
    const callOn = async (): Promise<void> => {
      for (let n = 0; !this.#over; n++) {
        try {
          const answer = await stub.hello(`${n}`);
          const [id = '', echo] = answer.split(': ');
          if (echo !== `${n}`) throw new Error(`answered ${answer} to ${n}`);
          this.answers.set(id, (this.answers.get(id) ?? 0) + 1);
        } catch (error) {
          this.failures.push(error);
        }
        await elapse(5);
      }
    };
    await stub.hello('first');
    this.#calling = callOn();
  }

  /** The levels of what the consumer's registry has said. */
  levels(): string[] {
    const { alsoSaid } = this.row;
    return this.log.lines
      .filter(({ message }) => alsoSaid?.test(message) !== true)
      .map(({ level }) => level);
  }

  ids(): string[] {
    return (this.#consumer as Consumer)
      .resolver(Greeter)
      .nodes()
      .map(({ id }) => id);
  }

  /** Until the consumer's list is so. */
  async listed(ids: readonly string[]): Promise<void> {
    await until(
      () => `${this.ids()}` === `${ids}`,
      () => `the list is [${ids}], it is [${this.ids()}]`,
    );
  }

  /** Until the registry itself holds these nodes. */
  async truth(ids: readonly string[]): Promise<void> {
    let found: readonly string[] | undefined;
    await until(
      async () => {
        found = await this.inTruth().catch(() => undefined);
        return `${found}` === `${ids}`;
      },
      () => `the registry holds [${ids}], it holds [${found}]`,
    );
  }

  async inTruth(): Promise<string[]> {
    const paths = [...(await this.server.entries(ROOT)).keys()].filter(
      (path) => !path.includes(INVALID_MARK),
    );
    return paths.map((path) => path.split('/').at(-1) ?? '').sort();
  }

  /**
   * After the fault: no call failed, the providers are listed, and the nodes that were kept for one
   * ttl are gone.
   */
  async expectRecovered(ids: readonly string[]): Promise<void> {
    await this.truth(ids);
    // A new consumer lists them too. A server that was frozen first expires leases.
    await using late = consume({ registry: await this.registry(), timeout: 30_000 });
    const resolver = late.resolver(Greeter);
    const seen = (): string[] => resolver.nodes().map(({ id }) => id);
    await until(
      () => `${seen()}` === `${ids}`,
      () => `a new consumer sees [${ids}], it sees [${seen()}]`,
    );
    await elapse(((this.options.ttl as number) ?? 0) + 200);
    await this.listed(ids);
    await this.truth(ids);
    expect(this.failures).toEqual([]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over = true;
    this.server.thaw();
    await this.#calling;
    await this.#consumer?.close();
    await Promise.all(this.providers.map((provider) => provider.close()));
    for (const child of this.#children) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    await Promise.all(this.#registries.map((registry) => registry[Symbol.asyncDispose]()));
    for (const proxy of this.#proxies) await proxy.close();
    await this.server.stop();
  }
}

/** Two providers and a consumer that calls them. */
async function startScenario(row: OutageRow, ttl: number): Promise<OutageScenario> {
  const scenario = await OutageScenario.make(row, ttl);
  await scenario.provide(2);
  await scenario.consume();
  await scenario.listed(['p1', 'p2']);
  await scenario.call();
  return scenario;
}

/** The log of an outage. On a busy machine a short session may be lost once more, and come back. */
const OUTAGE_LINES = /^warn,info(?:,warn,info)*$/;

/** name, lease or session, how long it is away. */
const ABSENCES = [
  ['within its lease or session', 4_000, 1_000],
  ['beyond its lease or session', 4_000, 8_000],
  ['in full length: 20 s', 10_000, 20_000],
] as const;
const FREEZES = [
  ['beyond its lease or session', 5_000, 10_000],
  ['in full length: 15 s', 10_000, 15_000],
] as const;

describe.each(ROWS)('$name', (row) => {
  beforeAll(async () => {
    await (await row.server()).stop();
  }, INSTALL_TIMEOUT);

  it.concurrent.each(ABSENCES)('killed with -9 and started again, %s', async (_, ttl, absence) => {
    await using scenario = await startScenario(row, ttl);
    await scenario.server.kill();
    await elapse(absence);
    expect(scenario.ids()).toEqual(['p1', 'p2']);
    await scenario.server.start();
    await scenario.expectRecovered(['p1', 'p2']);
    expect([...scenario.answers.keys()].sort()).toEqual(['p1', 'p2']);
    expect(scenario.levels().join()).toMatch(OUTAGE_LINES);
  });

  it.concurrent.each(FREEZES)(
    'frozen, %s: the outage is noticed, and the list has exactly the living providers',
    async (_, ttl, duration) => {
      await using scenario = await startScenario(row, ttl);
      scenario.server.freeze();
      const frozen = performance.now();
      await until(() => scenario.log.having('is away').length > 0, 'the outage was noticed');
      await elapse(duration - (performance.now() - frozen));
      scenario.server.thaw();
      await scenario.expectRecovered(['p1', 'p2']);
    },
  );

  it.concurrent('frozen, with a second host: no provider is lost', async () => {
    await using scenario = await OutageScenario.make(row, 10_000);
    const hosts = [await scenario.proxy(), await scenario.proxy()].map((proxy) => ({
      host: '127.0.0.1',
      port: proxy.port,
      proxy,
    }));
    const url = row.url(hosts, ROOT);
    await scenario.provide(4, url);
    await scenario.consume(url);
    const ids = ['p1', 'p2', 'p3', 'p4'];
    await scenario.listed(ids);
    await scenario.call();
    for (const { proxy } of hosts) {
      proxy.hold();
      const end = performance.now() + 12_000;
      while (performance.now() < end) {
        expect(await scenario.inTruth()).toEqual(ids);
        await elapse(100);
      }
      proxy.release();
      await elapse(500);
    }
    await scenario.expectRecovered(ids);
  });

  it.concurrent('loses its connections many times: nothing leaks', async () => {
    await using scenario = await OutageScenario.make(row, 4_000);
    const proxy = await scenario.proxy();
    const url = row.url([{ host: '127.0.0.1', port: proxy.port }], ROOT);
    await scenario.provide(2, url);
    await scenario.consume(url);
    await scenario.listed(['p1', 'p2']);
    await scenario.call();
    for (let cut = 0; cut < 60; cut++) {
      proxy.cut();
      await elapse(100 + Math.random() * 200);
    }
    await scenario.expectRecovered(['p1', 'p2']);
    // Each registry has one connection.
    await until(() => proxy.open <= 3, 'one connection for each registry is left');
    // Each lost connection causes few attempts.
    expect(proxy.accepted).toBeLessThan(3 * 60 * 3);
  });

  it.concurrent('keeps a dead provider for one ttl only while connections fail many times', async () => {
    const ttl = 4_000;
    await using scenario = await OutageScenario.make(row, ttl);
    const proxy = await scenario.proxy();
    const dead = {
      service: 'Greeter',
      group: '',
      version: 'v1',
      protocol: 'json',
      address: 'tcp://127.0.0.1:1',
      metadata: {},
    } as const;
    await scenario.provide(1);
    const path = entryPath(ROOT, { id: 'dead', ...dead });
    await scenario.server.put(path, entryValue({ id: 'dead', ...dead }));
    const registry = await scenario.registry(
      row.url([{ host: '127.0.0.1', port: proxy.port }], ROOT),
    );
    await using watch = new Watching(registry, { service: 'Greeter' });
    await watch.ids('dead', 'p1');
    let isGone = false;
    const gone = watch.next().then((nodes) => {
      isGone = true;
      return nodes?.map(({ id }) => id);
    });
    const flap = async (): Promise<void> => {
      proxy.refuse();
      await elapse(150);
      proxy.accept();
    };
    proxy.refuse();
    await scenario.server.remove(path);
    await elapse(150);
    proxy.accept();
    // The failures take several ttl. A ttl that began again with each failure would not be over
    // before the last one.
    for (let failures = 0; failures < 15 && !isGone; failures++) {
      await elapse(700);
      await flap();
    }
    expect(isGone).toBe(true);
    expect(await gone).toEqual(['p1']);
  });

  it.concurrent.each(Object.keys(row.interventions))(
    '%s: the provider registers again, and the list is correct',
    async (name) => {
      await using scenario = await startScenario(row, 4_000);
      const before = await scenario.server.entries(ROOT);
      await row.interventions[name]?.(scenario.server);
      await scenario.truth(['p1', 'p2']);
      await scenario.listed(['p1', 'p2']);
      expect(await scenario.server.entries(ROOT)).toEqual(before);
    },
  );

  it.concurrent('a provider killed with -9 is gone after its lease or session, and no call fails', async () => {
    const ttl = 2_000;
    await using scenario = await OutageScenario.make(row, ttl);
    await scenario.provide(1);
    const child = await scenario.spawn('p2');
    await scenario.consume();
    await scenario.listed(['p1', 'p2']);
    await scenario.call();
    await until(
      () => (scenario.answers.get('p2') ?? 0) > 5,
      'the provider has answered some calls',
    );
    child.kill('SIGKILL');
    await scenario.listed(['p1']);
    await scenario.truth(['p1']);
    expect(scenario.failures).toEqual([]);
  });

  it.concurrent('absent at the start: providers and consumers log this, and work when it appears', async () => {
    await using scenario = await OutageScenario.make(row, 2_000, 'absent');
    await scenario.provide(2);
    await scenario.consume();
    await scenario.log.said('is away');
    await scenario.server.start();
    await scenario.listed(['p1', 'p2']);
    await scenario.call();
    await scenario.expectRecovered(['p1', 'p2']);
    expect(scenario.levels().join()).toMatch(OUTAGE_LINES);
  });

  it.concurrent('absent at the start, without waitForRegistry: provide() rejects with the reason', async () => {
    await using scenario = await OutageScenario.make(row, 4_000, 'absent');
    const impatient = await scenario.registry(undefined, { waitForRegistry: false });
    const services = [implement(Greeter, { hello: (name) => name })];
    const outcome = provide({ registry: impatient, address: 'tcp://127.0.0.1:0', services });
    await expect(outcome).rejects.toMatchObject({
      code: 'REGISTRY_FAILED',
      cause: expect.anything(),
    });
    const first = (): Promise<unknown> =>
      impatient.watch({ service: 'Greeter' })[Symbol.asyncIterator]().next();
    if (row.watchFails) await expect(first()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    // A rejected node is not published later.
    await scenario.server.start();
    await elapse(1_000);
    expect(await scenario.inTruth()).toEqual([]);
  });

  it.concurrent('skips invalid entries with a log line each', async () => {
    await using scenario = await startScenario(row, 10_000);
    const attributes = 'protocol%3Djson%26role%3DSRT_Provider%26service%3DGreeter%26version%3Dv1';
    const garbage: Readonly<Record<string, string | Uint8Array>> = {
      [`${attributes}/garbage-json`]: '{',
      [`${attributes}/garbage-type`]: JSON.stringify({ Attr: 1, Nodes: 'none' }),
      [`${attributes}/garbage-bytes`]: new Uint8Array([0xff, 0xfe, 0x00]),
      [`${attributes}/garbage-large`]: 'x'.repeat(1024 * 1024 + 1),
      'garbage-foreign/path': 'x',
    };
    for (const [path, value] of Object.entries(garbage))
      await scenario.server.put(`${ROOT}/${path}`, value);
    await scenario.provide(1);
    await scenario.listed(['p1', 'p2', 'p3']);
    const said = Object.keys(garbage).map((path) =>
      path.includes('foreign') ? row.foreign(path) : path,
    );
    for (const path of said) expect([path, scenario.log.having(path).length]).toEqual([path, 1]);
    expect(scenario.log.lines.length).toBe(Object.keys(garbage).length);
    expect(scenario.failures).toEqual([]);
  });
});
