/**
 * The ZooKeeper registry on a real server. The behavior of all registries is in behaviour.test.ts.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inspect, promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  attributesOf,
  entryPath,
  entryValue,
  parseEntry,
} from '../../../src/micro/registry-entry.js';
import type { Registry, ServiceNode } from '../../../src/micro/types.js';
import {
  ZooKeeperClient,
  type ZooKeeperRegistryOptions,
  zookeeper,
} from '../../../src/registries/zookeeper/index.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freePort } from '../../fixtures/ports.js';
import { fc } from '../../fixtures/property.js';
import { isPending, Log, node, QUERY, Watching } from '../../fixtures/registries.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse, PROCESS_PATIENCE, until, within } from '../../fixtures/waiting.js';
import { Network } from '../../fixtures/zookeeper-network.js';
import { startZooKeeper, type ZooKeeperServer } from '../../fixtures/zookeeper-server.js';
import { ZooKeeperTestClient } from '../../fixtures/zookeeper-test-client.js';

const SCRIPT = fileURLToPath(new URL('../../fixtures/zookeeper-provider.mjs', import.meta.url));
const VECTORS: { path: string; value: string }[] = readFileSync(
  new URL('../../fixtures/vectors/registry.jsonl', import.meta.url),
  'utf8',
)
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));
/**
 * Milliseconds. A test that waits for the end of a session uses SESSION. A session that a busy
 * machine must not lose uses LONG_SESSION.
 */
const SESSION = 2_000;
const LONG_SESSION = 8_000;

describe('the ZooKeeper registry', () => {
  noLeaks();
  noTimersLeft();
  let server: ZooKeeperServer;
  let registries: Registry[] = [];
  let networks: Network[] = [];
  let children: ChildProcess[] = [];
  let root = '';
  let tests = 0;

  beforeAll(async () => {
    server = await startZooKeeper();
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const registry of registries) await registry[Symbol.asyncDispose]();
    for (const network of networks) await network.close();
    for (const child of children) {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }
    registries = [];
    networks = [];
    children = [];
  });

  /** Opens registries in a place of this test's own. */
  function place(): (options?: ZooKeeperRegistryOptions, network?: Network) => Registry {
    root = `/registry-${++tests}`;
    return (options, network) => {
      const registry = zookeeper((network ?? server).address, {
        root,
        sessionTimeout: LONG_SESSION,
        ...options,
      });
      registries.push(registry);
      return registry;
    };
  }

  async function network(port = server.port): Promise<Network> {
    const opened = await Network.open(port);
    networks.push(opened);
    return opened;
  }

  const pathOf = (given: ServiceNode): string => entryPath(root, given);
  const ids = async (): Promise<string[]> =>
    [...(await server.entries(root)).keys()].map((path) => path.split('/').at(-1) as string).sort();

  /** Until the server itself has these entries. */
  async function truth(...expected: string[]): Promise<void> {
    let found: readonly string[] = [];
    await until(
      async () => {
        found = await ids();
        return `${found}` === `${expected}`;
      },
      () => `the server has the entries [${expected}], it has [${found}]`,
    );
  }

  it("writes Go's entries byte for byte, persistent and ephemeral, and deletes them at once", async () => {
    root = '/getty-micro';
    const registry = zookeeper(server.address, { root, sessionTimeout: LONG_SESSION });
    registries.push(registry);
    for (const { path, value } of VECTORS) {
      const registration = await registry.register(parseEntry(path, value));
      expect(await server.entries(root)).toEqual(new Map([[path, value]]));
      expect(await server.owner(path)).not.toBe(0n);
      expect(await server.owner(path.slice(0, path.lastIndexOf('/')))).toBe(0n);
      await registration[Symbol.asyncDispose]();
      expect(await server.entries(root)).toEqual(new Map());
    }
  });

  it("exchanges entries with ZooKeeper's own client", async () => {
    const open = place();
    const written = VECTORS.map(({ path, value }) => ({
      path: path.replace('/getty-micro', root),
      value,
    }));
    const [ours, theirs] = [written.slice(0, 2), written.slice(2)];
    const registry = open();
    for (const { path, value } of ours) await registry.register(parseEntry(path, value));
    for (const { path, value } of ours) expect(await command('get', path)).toContain(value);
    await command('create', (theirs[0]?.path ?? '').replace(/\/[^/]*$/, ''));
    for (const { path, value } of theirs) await command('create', path, value);
    await using watch = new Watching(registry);
    const nodes = await watch.until(({ length }) => length === VECTORS.length, 'all vectors');
    const order = (a: ServiceNode, b: ServiceNode): number => (a.id < b.id ? -1 : 1);
    expect(nodes).toEqual(VECTORS.map(({ path, value }) => parseEntry(path, value)).sort(order));
  });

  async function command(...args: string[]): Promise<string> {
    const jars = ['zookeeper', 'commons-cli', 'netty-codec']
      .map((name) => `/usr/share/java/${name}.jar`)
      .join(':');
    const main = 'org.apache.zookeeper.ZooKeeperMain';
    const { stdout } = await promisify(execFile)('java', [
      '-XX:TieredStopAtLevel=1',
      '-cp',
      jars,
      main,
      '-server',
      server.address,
      ...args,
    ]);
    return stdout;
  }

  it('replaces the entry of a killed process, and the end of the old session does not delete the new entry', async () => {
    const open = place();
    await server.put(`${root}/${attributesOf(node('a'))}`, '');
    const old = await ZooKeeperTestClient.connect(server, 0n, SESSION);
    await old.put(
      pathOf(node('a')),
      Buffer.from(entryValue(node('a', { address: 'tcp://127.0.0.1:1' }))),
      true,
    );
    old.drop();
    await using watch = new Watching(open());
    await watch.ids('a');
    await open().register(node('a', { address: 'tcp://127.0.0.1:2' }));
    await watch.until(([first]) => first?.address === 'tcp://127.0.0.1:2', 'the new life');
    // Wait until the old session has expired.
    await elapse(SESSION * 1.5);
    expect([...(await server.entries(root)).values()]).toEqual([
      entryValue(node('a', { address: 'tcp://127.0.0.1:2' })),
    ]);
    expect(watch.seen).toEqual([['a'], ['a']]);
  });

  it('leaves an entry alone after another process took it over, and publishes it again when that process is gone', async () => {
    const open = place();
    const log = new Log();
    const [mine, other] = [
      node('a', { address: 'tcp://127.0.0.1:1' }),
      node('a', { address: 'tcp://127.0.0.1:2' }),
    ];
    const first = open({ logger: log });
    const registration = await first.register(mine);
    await using watch = new Watching(open());
    await watch.ids('a');
    const second = open();
    await second.register(other);
    await log.said('another process has published this entry');
    await watch.until(([only]) => only?.address === other.address, 'the other');
    await second[Symbol.asyncDispose]();
    await watch.until(([only]) => only?.address === mine.address, 'the first again');
    await log.said('published the entry again');
    expect(log.lines.map(({ message }) => message)).toEqual([
      expect.stringContaining('another process has published this entry'),
      expect.stringContaining('published the entry again'),
    ]);
    await registration[Symbol.asyncDispose]();
    await truth();
  });

  it('restores an entry that was deleted or changed by hand, also with the whole root', async () => {
    const open = place();
    const log = new Log();
    const registry = open({ logger: log });
    await registry.register(node('a'));
    await registry.register(node('b', { service: 'Other' }));
    await server.remove(pathOf(node('a')));
    await truth('a', 'b');
    await log.said('published the entry again');
    await server.put(pathOf(node('a')), 'garbage');
    await using watch = new Watching(open());
    await watch.ids('a');
    await server.remove(root);
    await truth('a', 'b');
    expect((await server.entries(root)).get(pathOf(node('a')))).toBe(entryValue(node('a')));
    await using later = new Watching(open());
    await later.ids('a');
    expect(await server.owner(pathOf(node('a')))).not.toBe(0n);
  });

  it('publishes every entry again after the session was ended by hand, and no list lacks one', async () => {
    const open = place();
    const log = new Log();
    const registry = open({ logger: log });
    await using watch = new Watching(registry);
    await using other = new Watching(registry, { service: 'Other' });
    await registry.register(node('a'));
    await registry.register(node('b'));
    await registry.register(node('c', { service: 'Other' }));
    await watch.ids('a', 'b');
    await other.ids('c');
    const first = await server.owner(pathOf(node('a')));
    const next = watch.next();
    await server.expire(first as bigint);
    await log.said('the ZooKeeper session has expired');
    await truth('a', 'b', 'c');
    await log.said('published the entry again', 3);
    expect(await server.owner(pathOf(node('a')))).not.toBe(first);
    expect(await isPending(next)).toBe(true);
    await open().register(node('d'));
    expect((await within(next, 'the next list'))?.map(({ id }) => id)).toEqual(['a', 'b', 'd']);
    expect(log.having('expired').length).toBe(1);
  });

  it('keeps a node that is missing after an outage for settleTime', async () => {
    const open = place();
    const proxy = await network();
    await open().register(node('stays'));
    const leaving = await open().register(node('leaves'));
    const log = new Log();
    await using watch = new Watching(open({ settleTime: 500, logger: log }, proxy));
    await watch.ids('leaves', 'stays');
    proxy.refuse();
    await log.said('ZooKeeper is away');
    await leaving[Symbol.asyncDispose]();
    await open().register(node('comes'));
    const back = performance.now();
    proxy.accept();
    await log.said('ZooKeeper is back');
    await watch.ids('comes', 'leaves', 'stays');
    await watch.ids('comes', 'stays');
    expect(performance.now() - back).toBeGreaterThan(400);
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('a watch waits for a missing root, also below a chroot, and sees it deleted and created', async () => {
    const open = place();
    await using watch = new Watching(open());
    await watch.ids();
    await open().register(node('a'));
    await watch.ids('a');
    const inner = zookeeper(`${server.address}${root}/deep/chroot`, {
      root: '/',
      sessionTimeout: LONG_SESSION,
    });
    registries.push(inner);
    await using beneath = new Watching(inner);
    await beneath.ids();
    await inner.register(node('x'));
    await beneath.ids('x');
    expect([...(await server.entries(`${root}/deep/chroot`)).keys()]).toEqual([
      `${root}/deep/chroot${entryPath('', node('x'))}`,
    ]);
  });

  it('a watch sees an ATTRIBUTES node deleted and created again by hand', async () => {
    const open = place();
    const put = (id: string): Promise<void> => server.put(pathOf(node(id)), entryValue(node(id)));
    await put('a');
    await using watch = new Watching(open());
    await watch.ids('a');
    for (let round = 0; round < 5; round++) {
      await server.remove(`${root}/${attributesOf(node('a'))}`);
      await put(`${round}`);
      await watch.ids(`${round}`);
    }
  });

  it('reads a thousand nodes of a hundred services over one connection, and a change costs few requests', async () => {
    const open = place();
    const [providing, consuming] = [
      open({ operationTimeout: 60_000, sessionTimeout: 30_000 }),
      open({ operationTimeout: 60_000, sessionTimeout: 30_000 }),
    ];
    const service = (n: number): string => `Service${n % 100}`;
    const began = performance.now();
    await Promise.all(
      Array.from({ length: 1_000 }, (_, n) =>
        providing.register(node(`n${n}`, { service: service(n) })),
      ),
    );
    const registered = performance.now();
    const watches = Array.from(
      { length: 100 },
      (_, n) => new Watching(consuming, { service: service(n) }),
    );
    await Promise.all(watches.map(tenNodes));
    const listed = performance.now();
    expect(await server.connections()).toBe(2);
    const packets = async (): Promise<number> =>
      Number(/zk_packets_received\s+(\d+)/.exec(await server.command('mntr'))?.[1]);
    const before = await packets();
    await using one = watches[7] as Watching;
    await providing.register(node('new', { service: service(7) }));
    await one.until(({ length }) => length === 11, 'the new node');
    await providing.register(node('new', { service: service(7), metadata: { weight: '2' } }));
    await one.until((nodes) => nodes.some(({ metadata }) => metadata.weight === '2'), 'its change');
    const received = (await packets()) - before;
    // The requests: create the node and verify it twice, list one ATTRIBUTES node, read one node
    // twice, the requests of this test, and perhaps pings.
    expect(received).toBeLessThan(25);
    console.info(
      `1,000 registered in ${Math.round(registered - began)} ms, listed in ${Math.round(listed - registered)} ms; two changes: ${received} packets`,
    );
    for (const watch of watches) await watch[Symbol.asyncDispose]();
  });

  /** As long as it takes: there are a thousand. */
  async function tenNodes(watch: Watching): Promise<void> {
    while ((await watch.next())?.length !== 10) {}
  }

  it('watches that begin and end many times leave no ZooKeeper watch behind', async () => {
    const open = place();
    const proxy = await network();
    const log = new Log();
    const registry = open({ logger: log }, proxy);
    const other = open();
    for (const id of ['a', 'b', 'c']) await other.register(node(id));
    for (let round = 0; round < 10; round++) {
      await using watch = new Watching(registry);
      await watch.ids('a', 'b', 'c');
    }
    const abandoned = new Watching(registry);
    const first = abandoned.next();
    await abandoned[Symbol.asyncDispose]();
    await first;
    await registry.register(node('x', { service: 'Other' }));
    proxy.refuse();
    await log.said('ZooKeeper is away');
    proxy.accept();
    await log.said('ZooKeeper is back');
    // On a new connection only the watches of the registrations are set again.
    await other.register(node('y', { service: 'Other' }));
    const watched = async (): Promise<number> =>
      Number(/Total watches:(\d+)/.exec(await server.command('wchs'))?.[1]);
    await until(async () => (await watched()) === 5, 'the server has five watches');
  });

  it('the former owner of a replaced entry does not delete the new one', async () => {
    const open = place();
    await open().register(node('a'));
    const client = new ZooKeeperClient(server.address, { sessionTimeout: LONG_SESSION });
    const before = await client.exists(pathOf(node('a')));
    await open().register(node('a', { metadata: { weight: '2' } }));
    const after = await client.exists(pathOf(node('a')));
    expect(after?.czxid).not.toBe(before?.czxid);
    await expect(client.delete(pathOf(node('a')), before?.version)).rejects.toMatchObject({
      reason: 'BAD_VERSION',
    });
    await client.close();
  });

  it('a registry without watches sends no requests, and a later watch gets the present list', async () => {
    const open = place();
    const registry = open();
    const watch = new Watching(registry);
    await open().register(node('a'));
    await watch.ids('a');
    await watch[Symbol.asyncDispose]();
    await open().register(node('b'));
    await using again = new Watching(registry);
    expect((await again.next())?.map(({ id }) => id)).toEqual(['a', 'b']);
  });

  it('register() resolves while the registry is away, and the entry is published when it appears', async () => {
    const open = place();
    const proxy = await network();
    proxy.refuse();
    const log = new Log();
    // A register() that waits takes longer than the time limit of the test.
    const registry = open({ operationTimeout: 300_000, logger: log }, proxy);
    await using watch = new Watching(registry);
    const first = watch.next();
    const registration = await within(registry.register(node('a')), 'register()');
    await within(registry.register(node('b')), 'register() again');
    await registration[Symbol.asyncDispose]();
    expect(await isPending(first)).toBe(true);
    expect(log.lines.map(({ level, message }) => `${level} ${message}`)).toEqual([
      'warn registry: ZooKeeper is away, trying again',
      'warn registry: the entry is published when ZooKeeper is back',
      'warn registry: the entry is published when ZooKeeper is back',
      'warn registry: the entry is deleted when ZooKeeper is back, or expires with the session',
    ]);
    proxy.accept();
    await log.said('ZooKeeper is back');
    await truth('b');
    if ((await first)?.length === 0) await watch.ids('b');
    // An entry that was withdrawn while it waited was never published.
    expect(watch.seen.flat()).not.toContain('a');
  });

  it('register() with waitForRegistry: false rejects after its timeout and publishes nothing', async () => {
    const open = place();
    const proxy = await network();
    proxy.refuse();
    const log = new Log();
    const registry = open({ waitForRegistry: false, operationTimeout: 800, logger: log }, proxy);
    const error = await registry.register(node('a')).catch((failure) => failure);
    expect(error).toMatchObject({
      code: 'REGISTRY_FAILED',
      message: expect.stringContaining(pathOf(node('a'))),
      cause: expect.any(Error),
    });
    proxy.accept();
    await log.said('ZooKeeper is back');
    await registry.register(node('b'));
    expect(await ids()).toEqual(['b']);
  });

  it('register() on a silent registry resolves after its timeout, or rejects without waitForRegistry', async () => {
    const open = place();
    const proxy = await network();
    proxy.freeze();
    const patient = open({ operationTimeout: 200, sessionTimeout: 60_000 }, proxy);
    await within(patient.register(node('a')), 'register()');
    const strict = open(
      { operationTimeout: 200, sessionTimeout: 60_000, waitForRegistry: false },
      proxy,
    );
    await expect(strict.register(node('b'))).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    proxy.thaw();
    await truth('a');
  });

  it('an entry that is withdrawn while the registry is away is deleted when it is back', async () => {
    const open = place();
    const proxy = await network();
    const log = new Log();
    const registry = open({ logger: log }, proxy);
    const registration = await registry.register(node('a'));
    await registry.register(node('b'));
    proxy.refuse();
    await log.said('ZooKeeper is away');
    await within(
      Promise.resolve(registration[Symbol.asyncDispose]()),
      'the end of the registration',
    );
    expect(await ids()).toEqual(['a', 'b']);
    proxy.accept();
    await truth('b');
  });

  it('register() rejects what the server refuses, and a watch skips entries without read permission', async () => {
    const open = place();
    const log = new Log();
    const owner = open({ credentials: 'me:secret', acl: 'creator' });
    await owner.register(node('a'));
    const error = await open()
      .register(node('b'))
      .catch((failure) => failure);
    expect(error).toMatchObject({ code: 'REGISTRY_FAILED', cause: { reason: 'NO_AUTH' } });
    await using watch = new Watching(open({ logger: log, credentials: 'you:other' }));
    const next = watch.next();
    await log.said('cannot be read');
    expect(await isPending(next)).toBe(true);
    await using mine = new Watching(open({ credentials: 'me:secret' }));
    await mine.ids('a');
    await owner[Symbol.asyncDispose]();
    const shared = open({ credentials: 'me:secret', acl: 'readable' });
    root = `${root}-readable`;
    const readable = zookeeper(server.address, {
      root,
      sessionTimeout: LONG_SESSION,
      credentials: 'me:secret',
      acl: 'readable',
    });
    registries.push(readable, shared);
    await readable.register(node('c'));
    const reader = zookeeper(server.address, { root, sessionTimeout: LONG_SESSION });
    registries.push(reader);
    await using all = new Watching(reader);
    await all.ids('c');
    expect(inspect(log.lines) + inspect(error, { depth: 9 })).not.toMatch(/secret|other/);
  });

  it('rejects an entry that is too large at once', async () => {
    const open = place();
    const registry = open();
    const large = node('a', { metadata: { x: 'x'.repeat(1024 * 1024 - 300) } });
    await expect(registry.register(large)).rejects.toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('at most 65536 bytes'),
    });
    await registry.register(node('b'));
    expect(await ids()).toEqual(['b']);
  });

  it('disposing the registry ends the session, its entries and its watches', async () => {
    const open = place();
    const before = await server.connections();
    const registry = open();
    await registry.register(node('a'));
    const watch = new Watching(registry);
    await watch.ids('a');
    expect(await server.connections()).toBe(before + 1);
    const next = watch.next();
    await registry[Symbol.asyncDispose]();
    expect(await next).toBeUndefined();
    expect(await ids()).toEqual([]);
    await until(async () => (await server.connections()) === before, 'its session has ended');
  });

  it('a process ends by itself after it has disposed its registry, and leaves nothing behind', async () => {
    place();
    const child = await start('a');
    await truth('a');
    child.stdin?.end();
    const [code] = await within(once(child, 'exit'), 'the end of the process');
    expect([code, await ids()]).toEqual([0, []]);
  });

  async function start(id: string, options: ZooKeeperRegistryOptions = {}): Promise<ChildProcess> {
    const given = JSON.stringify({ sessionTimeout: SESSION, ...options });
    const child = spawn(process.execPath, [SCRIPT, server.url(root), given, id], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(child);
    await within(
      once(child.stdout as NodeJS.ReadableStream, 'data'),
      'the provider process',
      PROCESS_PATIENCE,
    );
    return child;
  }

  it('the entry of a killed process is gone after its session', async () => {
    const open = place();
    const child = await start('a');
    await using watch = new Watching(open(), { service: 'Who' });
    await watch.ids('a');
    child.kill('SIGKILL');
    await watch.ids();
  });

  it('disposing is immediate if no server was ever reached', async () => {
    const registry = zookeeper(`127.0.0.1:${await freePort()}`, { operationTimeout: 300_000 });
    registries.push(registry);
    const watch = new Watching(registry);
    const next = watch.next();
    await registry.register(node('a'));
    await within(Promise.resolve(registry[Symbol.asyncDispose]()), 'the end of the registry');
    expect(await next).toBeUndefined();
  });

  it('rejects invalid options', () => {
    const cases: ZooKeeperRegistryOptions[] = [
      { root: 'getty' },
      { root: '/a/' },
      { sessionTimeout: 5 },
      { operationTimeout: 0 },
      { settleTime: -1 },
      { waitForRegistry: 'yes' as never },
      { credentials: 'nobody' },
      { acl: 'all' as never },
      { tls: { key: 'x' } },
    ];
    for (const options of cases)
      expect(() => zookeeper('h:1', options)).toThrowError(
        expect.objectContaining({ code: 'BAD_OPTION' }),
      );
    expect(() => zookeeper('')).toThrowError(expect.objectContaining({ code: 'BAD_ADDRESS' }));
  });

  /** What may happen to a registry and the proxy to it. */
  const STEPS = [
    'put',
    'put',
    'put',
    'remove',
    'removeFolder',
    'garbage',
    'cut',
    'refuse',
    'accept',
    'expire',
    'register',
    'withdraw',
  ] as const;

  it('the list is correct after random failures in random order', async () => {
    const step = fc.tuple(fc.constantFrom(...STEPS), fc.integer({ min: 0, max: 4 }));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const open = place();
        const proxy = await network();
        const registry = open({ settleTime: 50 }, proxy);
        const watch = new Watching(registry);
        const mine = node('mine');
        let registration: AsyncDisposable | undefined = await registry.register(mine);
        for (const [name, n] of steps) {
          const given = node(`${n}`, { version: n % 2 === 0 ? 'v1' : 'v2' });
          if (name === 'put') await server.put(pathOf(given), entryValue(given));
          else if (name === 'remove') await server.remove(pathOf(given)).catch(() => {});
          else if (name === 'removeFolder')
            await server.remove(`${root}/${attributesOf(given)}`).catch(() => {});
          else if (name === 'garbage') await server.put(pathOf(given), '{');
          else if (name === 'cut') proxy.cut();
          else if (name === 'refuse') proxy.refuse();
          else if (name === 'accept') proxy.accept();
          else if (name === 'expire') await expireOwner(pathOf(mine));
          else if (name === 'register') registration ??= await registry.register(mine);
          else {
            await registration?.[Symbol.asyncDispose]();
            registration = undefined;
          }
        }
        proxy.accept();
        let listed: readonly string[] = [];
        const read = (async () => {
          for (let nodes = await watch.next(); nodes !== undefined; nodes = await watch.next())
            listed = nodes.map(({ id }) => id);
        })();
        const expected = async (): Promise<string[]> =>
          (await good(await server.entries(root))).sort();
        await until(
          async () =>
            `${listed}` === `${await expected()}` &&
            (registration !== undefined) === listed.includes('mine'),
          () => `the list [${listed}] is the truth`,
        );
        await registry[Symbol.asyncDispose]();
        await read;
        await server.remove(root).catch(() => {});
      }),
      { numRuns: 15 },
    );
  });

  async function expireOwner(path: string): Promise<void> {
    const owner = await server.owner(path);
    if (owner !== undefined && owner !== 0n) await server.expire(owner).catch(() => {});
  }

  async function good(entries: Map<string, string>): Promise<string[]> {
    return [...entries].flatMap(([path, value]) => {
      try {
        return [parseEntry(path, value).id];
      } catch {
        return [];
      }
    });
  }

  it('watches with different queries of one service share the reads', async () => {
    const open = place();
    const registry = open();
    await open().register(node('a', { version: 'v1' }));
    await open().register(node('b', { version: 'v2' }));
    await using all = new Watching(registry);
    await using one = new Watching(registry, { ...QUERY, version: 'v1' });
    await using none = new Watching(registry, { ...QUERY, version: 'v3' });
    await all.ids('a', 'b');
    await one.ids('a');
    await none.ids();
    await open().register(node('c', { version: 'v3' }));
    await none.ids('c');
    await all.ids('a', 'b', 'c');
  });
});
