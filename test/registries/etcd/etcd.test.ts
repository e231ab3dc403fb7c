/** What only etcd does. The rest is in behaviour.test.ts and outages.test.ts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Http2Server } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { entryPath, entryValue, parseEntry } from '../../../src/micro/registry-entry.js';
import type { Registry } from '../../../src/micro/types.js';
import { type EtcdOptions, etcd } from '../../../src/registries/etcd/index.js';
import { registry as openRegistry } from '../../../src/registries/index.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { isPending, Log, node, Watching } from '../../fixtures/registries.js';
import { EtcdServer } from '../../fixtures/registry-servers.js';
import { TcpProxy } from '../../fixtures/tcp-proxy.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse, PROCESS_PATIENCE, until, within } from '../../fixtures/waiting.js';

const IDLER = fileURLToPath(new URL('../../fixtures/registry-idler.mjs', import.meta.url));
const QUICK = {
  ttl: 4_000,
  pingInterval: 300,
  pingTimeout: 300,
  requestTimeout: 1_000,
  dialTimeout: 500,
  maxDelay: 300,
} satisfies EtcdOptions;
const VECTORS: { path: string; value: string }[] = readFileSync(
  new URL('../../fixtures/vectors/registry.jsonl', import.meta.url),
  'utf8',
)
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line));

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

describe('the etcd registry', () => {
  noLeaks();
  noTimersLeft();
  let server: EtcdServer;
  let root = '';
  let count = 0;
  const cleanUp: (() => unknown)[] = [];
  const registries: Registry[] = [];

  beforeAll(async () => {
    server = await EtcdServer.started();
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());
  afterEach(async () => {
    await Promise.all(registries.splice(0).map((registry) => registry[Symbol.asyncDispose]()));
    for (const clean of cleanUp.splice(0).reverse()) await clean();
  });

  const nextRoot = (): string => {
    root = `/test-${++count}`;
    return root;
  };

  function open(
    options: EtcdOptions = {},
    endpoints: string | string[] = server.endpoint,
  ): Registry {
    const registry = etcd(endpoints, { ...QUICK, root, ...options });
    registries.push(registry);
    return registry;
  }

  async function proxied(): Promise<TcpProxy & { readonly endpoint: string }> {
    const proxy = await TcpProxy.to(server);
    cleanUp.push(() => proxy.close());
    return Object.assign(proxy, { endpoint: `http://127.0.0.1:${proxy.port}` });
  }

  async function start(...args: string[]): Promise<ChildProcess> {
    const child = spawn(process.execPath, [IDLER, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    cleanUp.push(() => child.kill('SIGKILL'));
    await within(
      once(child.stdout as NodeJS.ReadableStream, 'data'),
      'the process',
      PROCESS_PATIENCE,
    );
    return child;
  }

  const pathOf = (id: string): string => entryPath(root, node(id));

  /** Until etcd holds this at the entry of `id`. */
  async function holds(id: string, value: string | undefined): Promise<void> {
    let entries = new Map<string, string>();
    await until(
      async () => {
        entries = await server.entries(root);
        return entries.get(pathOf(id)) === value;
      },
      () => `${pathOf(id)} is ${value}, there is ${[...entries]}`,
    );
  }

  it("writes and reads Go's entries byte for byte", async () => {
    root = '/getty-micro';
    const registry = open();
    for (const { path, value } of VECTORS) {
      const registration = await registry.register(parseEntry(path, value));
      expect([...(await server.entries(root))]).toEqual([[path, value]]);
      await registration[Symbol.asyncDispose]();
      expect((await server.entries(root)).size).toBe(0);
    }
    await using watch = new Watching(registry);
    await watch.ids();
    for (const { path, value } of VECTORS) await server.put(path, value);
    const nodes = await watch.until(({ length }) => length === VECTORS.length, 'the four nodes');
    expect(nodes.map((each) => [entryPath(root, each), entryValue(each)]).sort()).toEqual(
      VECTORS.map(({ path, value }) => [path, value]).sort(),
    );
    for (const { path } of VECTORS) await server.remove(path);
    await watch.ids();
  });

  it('does not confuse a root with another root of the same prefix', async () => {
    nextRoot();
    const log = new Log();
    await using watch = new Watching(open({ logger: log }));
    await watch.ids();
    await open({ root: `${root}2` }).register(node('other'));
    await open().register(node('a'));
    await watch.ids('a');
    expect(log.lines).toEqual([]);
  });

  it('disposing revokes the lease, so that the entries are gone at once', async () => {
    nextRoot();
    const registry = etcd(server.endpoint, { ...QUICK, root, ttl: 60_000 });
    for (const id of ['a', 'b', 'c']) await registry.register(node(id));
    const leases = await server.leases();
    expect(leases.length).toBe(1);
    await registry[Symbol.asyncDispose]();
    expect(await server.leases()).toEqual([]);
    expect((await server.entries(root)).size).toBe(0);
  });

  it('revokes the lease with the last registration, and requests a new one for the next', async () => {
    nextRoot();
    const registry = open();
    const registration = await registry.register(node('a'));
    await registration[Symbol.asyncDispose]();
    await until(async () => (await server.leases()).length === 0, 'the lease is gone');
    await registry.register(node('b'));
    await holds('b', entryValue(node('b')));
  });

  it('writes a deleted key again', async () => {
    nextRoot();
    const log = new Log();
    await open({ logger: log }).register(node('a'));
    await server.remove(pathOf('a'));
    await log.said('published the entry again');
    await holds('a', entryValue(node('a')));
  });

  it('leaves a key alone after another process took it over, logs this once, and writes it again when that process is gone', async () => {
    nextRoot();
    const log = new Log();
    const registry = open({ logger: log });
    const registration = await registry.register(node('a'));
    await server.put(pathOf('a'), 'mine');
    await log.said('another process has published this entry');
    await server.put(pathOf('a'), 'mine too');
    await registry.register(node('b'));
    await holds('a', 'mine too');
    expect(log.having('another process').length).toBe(1);
    await server.remove(pathOf('a'));
    await holds('a', entryValue(node('a')));
    // Disposing does not delete an entry of another process.
    await server.put(pathOf('a'), 'mine');
    await log.said('another process', 2);
    await registration[Symbol.asyncDispose]();
    await holds('a', 'mine');
  });

  it('replaces a revoked lease, and writes every entry again under the new one', async () => {
    nextRoot();
    const log = new Log();
    await using watch = new Watching(open());
    const registry = open({ logger: log });
    const ids = Array.from({ length: 100 }, (_, i) => `n${String(i).padStart(3, '0')}`);
    await Promise.all(ids.map((id) => registry.register(node(id))));
    await watch.ids(...ids);
    const [lease = ''] = await server.leases();
    await server.revoke(lease);
    await watch.until(({ length }) => length < ids.length, 'the loss');
    await watch.ids(...ids);
    expect(log.having('the lease is lost').length).toBe(1);
    expect((await server.leases()).length).toBe(1);
  });

  it('reads everything again if missed changes were compacted', async () => {
    nextRoot();
    const proxy = await proxied();
    const log = new Log();
    const registry = open();
    await using watch = new Watching(open({ logger: log, ttl: 1_000 }, proxy.endpoint));
    const leaving = await registry.register(node('a'));
    await registry.register(node('b'));
    await watch.ids('a', 'b');
    proxy.refuse();
    await log.said('is away');
    await leaving[Symbol.asyncDispose]();
    await registry.register(node('c'));
    await server.compact();
    proxy.accept();
    // A missing node is kept for one ttl, so that its provider can publish it again.
    await watch.ids('a', 'b', 'c');
    await watch.ids('b', 'c');
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('keeps the last list while etcd is away, also for a new watch', async () => {
    nextRoot();
    const proxy = await proxied();
    const log = new Log();
    const registry = open({ logger: log }, proxy.endpoint);
    await using watch = new Watching(registry);
    await open().register(node('a'));
    await watch.ids('a');
    proxy.refuse();
    await log.said('is away');
    expect(await isPending(watch.next())).toBe(true);
    await using other = new Watching(registry);
    expect((await other.next())?.map(({ id }) => id)).toEqual(['a']);
  });

  it('a first list has the entries just written, and not those just removed', async () => {
    nextRoot();
    const registry = open();
    await using watch = new Watching(registry);
    await watch.ids();
    for (let i = 0; i < 20; i++) {
      const registration = await registry.register(node('a'));
      await using present = new Watching(registry);
      expect((await present.next())?.length).toBe(1);
      await registration[Symbol.asyncDispose]();
      await using absent = new Watching(registry);
      expect((await absent.next())?.length).toBe(0);
    }
  });

  it('skips a dead endpoint in every order', async () => {
    nextRoot();
    const proxy = await proxied();
    proxy.refuse();
    const dead = proxy.endpoint;
    await Promise.all(
      [
        [dead, server.endpoint],
        [server.endpoint, dead],
      ].map(async (endpoints) => {
        await open({}, endpoints).register(node(endpoints[0] === dead ? 'a' : 'b'));
      }),
    );
    expect((await server.entries(root)).size).toBe(2);
  });

  it('does not flood a server that refuses or closes every connection', async () => {
    nextRoot();
    const proxy = await proxied();
    const log = new Log();
    proxy.refuse();
    const registry = open({ logger: log, maxDelay: 400 }, proxy.endpoint);
    await using watch = new Watching(registry);
    const next = watch.next();
    next.catch(() => {});
    await registry.register(node('a'));
    const [before, began] = [proxy.accepted, performance.now()];
    await elapse(2_000);
    await until(() => proxy.accepted > before + 3, 'there were some attempts');
    // The watch and the registration share a connection and have separate delays of at least 200
    // ms.
    expect(proxy.accepted - before).toBeLessThan(2 * ((performance.now() - began) / 200) + 4);
    expect(log.lines.length).toBe(1);
  });

  it.each<[string, () => Server | Http2Server]>([
    [
      'resets every request',
      () => createServer().on('stream', (stream) => stream.on('error', () => {}).close(1)),
    ],
    [
      'answers nonsense',
      () =>
        createServer().on('stream', (stream) =>
          stream.on('error', () => {}).respond({ ':status': 200 }, { endStream: true }),
        ),
    ],
    [
      'ends every request with an error',
      () =>
        createServer().on('stream', (stream) =>
          stream
            .on('error', () => {})
            .respond(
              { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '14' },
              { endStream: true },
            ),
        ),
    ],
    [
      'does not support HTTP/2',
      () =>
        createTcpServer((socket) =>
          socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
        ),
    ],
    ['says nothing', () => createTcpServer((socket) => void socket.on('error', () => {}).resume())],
  ])('a server that %s counts as away, and few requests are made', async (_, make) => {
    nextRoot();
    let connections = 0;
    const sockets = new Set<{ destroy(): void }>();
    const stranger = make() as Server;
    stranger.on('connection', (socket) => {
      connections++;
      sockets.add(socket);
    });
    await once(stranger.listen(0, '127.0.0.1'), 'listening');
    cleanUp.push(async () => {
      for (const socket of sockets) socket.destroy();
      await once(stranger.close(), 'close');
    });
    const log = new Log();
    const registry = open(
      { logger: log },
      `http://127.0.0.1:${(stranger.address() as AddressInfo).port}`,
    );
    await using watch = new Watching(registry);
    const next = watch.next();
    await registry.register(node('a'));
    await log.said('trying again');
    const cpu = process.cpuUsage();
    const [before, began] = [connections, performance.now()];
    await elapse(1_000);
    const { user, system } = process.cpuUsage(cpu);
    const elapsed = performance.now() - began;
    expect((user + system) / 1_000).toBeLessThan(elapsed / 2);
    expect(connections - before).toBeLessThan(20 * (elapsed / 1_000));
    expect(await isPending(next)).toBe(true);
    expect(log.lines.length).toBe(1);
  });

  it('many lost connections leak nothing', async () => {
    nextRoot();
    const proxy = await proxied();
    const registry = open({ initialDelay: 5, maxDelay: 10 }, proxy.endpoint);
    await registry.register(node('a'));
    await using watch = new Watching(registry);
    await watch.ids('a');
    const cut = async (times: number): Promise<number> => {
      for (let i = 0; i < times; i++) {
        const { accepted } = proxy;
        proxy.cut();
        await until(() => proxy.accepted > accepted && proxy.open > 0, 'the next connection');
        await elapse(5);
      }
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    // The first rounds fill caches and are not counted.
    const before = await cut(100);
    const after = await cut(200);
    expect(after - before).toBeLessThan(8 * 1024 * 1024);
    await registry.register(node('b'));
    await watch.ids('a', 'b');
    await registry[Symbol.asyncDispose]();
    await until(() => proxy.open === 0, 'every connection is closed');
  });

  it('disposing does not wait for a frozen or absent etcd', async () => {
    nextRoot();
    const proxy = await proxied();
    const log = new Log();
    const registry = open({ logger: log }, proxy.endpoint);
    await registry.register(node('a'));
    await using watch = new Watching(registry);
    await watch.ids('a');
    proxy.hold();
    await within(Promise.resolve(registry[Symbol.asyncDispose]()), 'the registry is disposed');
    // A held socket does not notice that it was closed.
    proxy.release();
    await until(() => proxy.open === 0, 'every connection is closed');
  });

  it('neither a registration nor a watch keeps a process alive', async () => {
    const child = await start(server.url(nextRoot()), JSON.stringify(QUICK), 'leave');
    const [code] = await within(once(child, 'exit'), 'the end of the process');
    expect(code).toBe(0);
  });

  it.each(['there', 'away'])(
    'a process that disposes its registry ends, also when etcd is %s',
    async (where) => {
      const proxy = await proxied();
      if (where === 'away') proxy.refuse();
      const child = await start(
        `etcd://127.0.0.1:${proxy.port}${nextRoot()}`,
        JSON.stringify(QUICK),
        'dispose',
      );
      const [code] =
        child.exitCode === null
          ? await within(once(child, 'exit'), 'the end of the process')
          : [child.exitCode];
      expect(code).toBe(0);
      expect((await server.entries(root)).size).toBe(0);
    },
  );

  it('skips entries over maxEntries with one log line, and adds them when there is room', async () => {
    nextRoot();
    const log = new Log();
    const registry = open();
    const registrations = [];
    for (let i = 0; i < 12; i++) registrations.push(await registry.register(node(`n${i}`)));
    await using watch = new Watching(open({ logger: log, maxEntries: 10 }));
    expect((await watch.next())?.length).toBe(10);
    expect(log.having('the cache is full').length).toBe(1);
    for (const registration of registrations.slice(0, 4)) await registration[Symbol.asyncDispose]();
    await watch.until(
      (nodes) => nodes.length === 8 && nodes.some(({ id }) => id === 'n9'),
      'the eight that are left',
    );
    expect(log.lines.length).toBe(1);
  });

  it('skips entries over maxBytes', async () => {
    nextRoot();
    const log = new Log();
    const registry = open();
    await registry.register(node('a', { metadata: { fill: 'x'.repeat(5_000) } }));
    await registry.register(node('b', { metadata: { fill: 'x'.repeat(5_000) } }));
    await using watch = new Watching(open({ logger: log, maxBytes: 8_000 }));
    await watch.ids('a');
    expect(log.having('the cache is full').length).toBe(1);
  });

  it('reads a page that is too large in smaller pages', async () => {
    nextRoot();
    const registry = open({ requestTimeout: 5_000 });
    const fill = 'x'.repeat(60_000);
    const ids = Array.from({ length: 400 }, (_, i) => `n${String(i).padStart(3, '0')}`);
    for (const id of ids) await registry.register(node(id, { metadata: { fill } }));
    const log = new Log();
    await using watch = new Watching(open({ logger: log, requestTimeout: 5_000 }));
    await watch.ids(...ids);
    expect(log.lines).toEqual([]);
  });

  it('reads everything again if etcd was replaced by an older copy with the same revisions', async () => {
    const older = await EtcdServer.started();
    cleanUp.push(() => older.stop());
    const copied = await EtcdServer.started();
    cleanUp.push(() => copied.stop());
    const put = (to: EtcdServer, port: number): Promise<void> => {
      const entry = node('a', { address: `tcp://127.0.0.1:${port}` });
      return to.put(entryPath('/copy', entry), entryValue(entry));
    };
    await put(older, 1);
    await put(copied, 2);
    const proxy = await TcpProxy.to(older);
    cleanUp.push(() => proxy.close());
    root = '/copy';
    const registry = open({ ttl: 1_000 }, `http://127.0.0.1:${proxy.port}`);
    await using watch = new Watching(registry);
    await watch.until(([first]) => first?.address === 'tcp://127.0.0.1:1', 'the first address');
    // This registry writes at a revision that the copy has not reached.
    for (let i = 0; i < 5; i++) await registry.register(node('b', { metadata: { i: `${i}` } }));
    proxy.retarget(copied);
    proxy.cut();
    await watch.until(
      ([first]) => first?.address === 'tcp://127.0.0.1:2',
      'the address in the copy',
    );
    await using second = new Watching(registry);
    expect((await within(second.next(), 'a first list'))?.[0]?.address).toBe('tcp://127.0.0.1:2');
    await watch.until((nodes) => nodes.length === 2, 'what this registry publishes');
  });

  it('receives all of many large changes over a slow line', async () => {
    nextRoot();
    const proxy = await proxied();
    const log = new Log();
    await using watch = new Watching(open({ logger: log, pingTimeout: 10_000 }, proxy.endpoint));
    await watch.ids();
    const registry = open({ requestTimeout: 5_000 });
    await registry.register(node('gone'));
    await watch.ids('gone');
    proxy.hold();
    const fill = 'x'.repeat(60_000);
    const ids = Array.from({ length: 190 }, (_, i) => `n${String(i).padStart(3, '0')}`);
    for (const id of ids) await registry.register(node(id, { metadata: { fill } }));
    await server.remove(pathOf('gone'));
    await holds('gone', entryValue(node('gone')));
    proxy.release();
    await watch.ids('gone', ...ids);
    expect(log.lines).toEqual([]);
  });

  it('logs a limited number of invalid entries', async () => {
    nextRoot();
    for (let i = 0; i < 1_010; i += 100) {
      const success = Array.from({ length: Math.min(100, 1_010 - i) }, (_, n) => ({
        request_put: {
          key: Buffer.from(`${root}/garbage-${i + n}/x`).toString('base64'),
          value: '',
        },
      }));
      await server.ask('kv/txn', { success });
    }
    const log = new Log();
    await open().register(node('a'));
    await using watch = new Watching(open({ logger: log }));
    await watch.ids('a');
    expect(log.lines.length).toBe(1_001);
    expect(log.having('no more are logged').length).toBe(1);
  });

  it('rejects invalid options, and hides passwords', () => {
    const bad: [string | string[], EtcdOptions][] = [
      ['', {}],
      [[], {}],
      ['tcp://127.0.0.1:1', {}],
      ['127.0.0.1', {}],
      ['http://127.0.0.1:0', {}],
      ['http://user:secret@127.0.0.1:1', {}],
      [['http://127.0.0.1:1', 'https://127.0.0.1:2'], {}],
      ['http://127.0.0.1:1', { tls: {} }],
      ['https://127.0.0.1:1', { tls: { ca: 'no certificate' } }],
      ['http://127.0.0.1:1', { ttl: 1 }],
      ['http://127.0.0.1:1', { root: 'getty' }],
      ['http://127.0.0.1:1', { root: '/a b' }],
      ['http://127.0.0.1:1', { password: 'secret' }],
      ['http://127.0.0.1:1', { username: 'me' }],
      ['http://127.0.0.1:1', { username: '', password: 'secret' }],
      ['http://127.0.0.1:1', { waitForRegistry: 1 as never }],
    ];
    for (const [endpoints, options] of bad) {
      const message = expect.not.stringContaining('secret');
      expect(
        () => etcd(endpoints, options),
        `${endpoints} ${JSON.stringify(options)}`,
      ).toThrowError(expect.objectContaining({ code: 'BAD_OPTION', message }));
    }
  });

  it('registry(url) accepts several hosts, and has a default port and root', async () => {
    nextRoot();
    await using first = await openRegistry(
      `etcd://127.0.0.1:${server.port},127.0.0.1:${server.port}${root}`,
      QUICK,
    );
    await first.register(node('a'));
    expect([...(await server.entries(root)).keys()]).toEqual([pathOf('a')]);
    await using second = await openRegistry(`etcd://127.0.0.1:${server.port}`, QUICK);
    await second.register(node('a'));
    expect([...(await server.entries('/getty')).keys()]).toEqual([entryPath('/getty', node('a'))]);
    await expect(openRegistry('etcd://user:%E0%A4%A@127.0.0.1')).rejects.toMatchObject({
      code: 'BAD_ADDRESS',
    });
  });
});
