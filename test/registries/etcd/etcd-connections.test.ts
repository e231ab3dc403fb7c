/** The etcd registry when connections are lost, refused or frozen, and processes that use it. */
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { collectGarbage } from '../../fixtures/garbage.js';
import { isPending, node, RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import { elapse, until, within } from '../../fixtures/waiting.js';
import { ChildProcesses } from '../child-processes.js';
import { open, openProxy, QUICK, root, server, useEtcd, useNextRoot } from './etcd-setup.js';

describe('the etcd registry', () => {
  useEtcd();

  const children = new ChildProcesses();
  afterEach(() => children[Symbol.asyncDispose]());

  /** Starts a process with a registration and a watch, which then does nothing or disposes both. */
  const startIdler = (url: string, action: 'leave' | 'dispose') =>
    children.start('registry-idler.mjs', [url, JSON.stringify(QUICK), action], 'ignore');

  it('reads all entries again if missed changes were compacted', async () => {
    useNextRoot();
    const proxy = await openProxy();
    const log = new RecordingLogger();
    const registry = open();
    await using watch = new WatchReader(open({ logger: log, ttl: 1_000 }, proxy.endpoint));
    const leaving = await registry.register(node('a'));
    await registry.register(node('b'));
    await watch.ids('a', 'b');
    proxy.refuse();
    await log.waitFor('cannot be reached');
    await leaving[Symbol.asyncDispose]();
    await registry.register(node('c'));
    await server.compact();
    proxy.accept();
    // A missing node is kept for one ttl, in which its provider can publish it again.
    await watch.ids('a', 'b', 'c');
    await watch.ids('b', 'c');
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('keeps the last list while etcd cannot be reached, also for a new watch', async () => {
    useNextRoot();
    const proxy = await openProxy();
    const log = new RecordingLogger();
    const registry = open({ logger: log }, proxy.endpoint);
    await using watch = new WatchReader(registry);
    await open().register(node('a'));
    await watch.ids('a');
    proxy.refuse();
    await log.waitFor('cannot be reached');
    expect(await isPending(watch.next())).toBe(true);
    await using other = new WatchReader(registry);
    expect((await other.next())?.map(({ id }) => id)).toEqual(['a']);
  });

  it('uses the other endpoint when one of two is dead, in both orders', async () => {
    useNextRoot();
    const proxy = await openProxy();
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
    useNextRoot();
    const proxy = await openProxy();
    const log = new RecordingLogger();
    proxy.refuse();
    const registry = open({ logger: log, maxDelay: 400 }, proxy.endpoint);
    await using watch = new WatchReader(registry);
    const next = watch.next();
    next.catch(() => {});
    await registry.register(node('a'));
    const [before, start] = [proxy.accepted, performance.now()];
    await elapse(2_000);
    await until(() => proxy.accepted > before + 3, 'some connections were attempted');
    // The watch and the registration share a connection. Each has delays of at least 200 ms.
    expect(proxy.accepted - before).toBeLessThan(2 * ((performance.now() - start) / 200) + 4);
    expect(log.lines.length).toBe(1);
  });

  it('leaks no memory when connections are lost often', async () => {
    useNextRoot();
    const proxy = await openProxy();
    const registry = open({ initialDelay: 5, maxDelay: 10 }, proxy.endpoint);
    await registry.register(node('a'));
    await using watch = new WatchReader(registry);
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
    // The first rounds fill caches.
    const before = await cut(50);
    const after = await cut(100);
    expect(after - before).toBeLessThan(4 * 1024 * 1024);
    await registry.register(node('b'));
    await watch.ids('a', 'b');
    await registry[Symbol.asyncDispose]();
    await until(() => proxy.open === 0, 'every connection is closed');
  });

  it('does not wait for a frozen etcd when it is disposed', async () => {
    useNextRoot();
    const proxy = await openProxy();
    const log = new RecordingLogger();
    const registry = open({ logger: log }, proxy.endpoint);
    await registry.register(node('a'));
    await using watch = new WatchReader(registry);
    await watch.ids('a');
    proxy.hold();
    await within(Promise.resolve(registry[Symbol.asyncDispose]()), 'the registry is disposed');
    // While the proxy holds a socket, it does not notice that the socket was closed.
    proxy.release();
    await until(() => proxy.open === 0, 'every connection is closed');
  });

  it('keeps its connection while the process is busy, although answers to pings are read late', async () => {
    useNextRoot();
    // The proxy is in this process, so an answer needs several turns of the event loop.
    const proxy = await openProxy();
    const log = new RecordingLogger();
    const registry = open({ pingInterval: 10, pingTimeout: 10, logger: log }, proxy.endpoint);
    await using watch = new WatchReader(registry);
    expect(await watch.next()).toEqual([]);
    for (let turn = 0; turn < 40; turn++) {
      const end = performance.now() + 15;
      while (performance.now() < end);
      await new Promise(setImmediate);
    }
    await registry.register(node('a'));
    await watch.ids('a');
    expect(log.lines).toEqual([]);
    expect(proxy.accepted).toBe(1);
  });

  it('does not keep a process alive by a registration or a watch', async () => {
    useNextRoot();
    const child = await startIdler(server.url(root), 'leave');
    const [code] = await within(once(child, 'exit'), 'the end of the process');
    expect(code).toBe(0);
  });

  it.each(['can be reached', 'cannot be reached'])(
    'lets a process end after it is disposed, while etcd %s',
    async (state) => {
      const proxy = await openProxy();
      if (state === 'cannot be reached') proxy.refuse();
      useNextRoot();
      const child = await startIdler(`etcd://127.0.0.1:${proxy.port}${root}`, 'dispose');
      const [code] =
        child.exitCode === null
          ? await within(once(child, 'exit'), 'the end of the process')
          : [child.exitCode];
      expect(code).toBe(0);
      expect((await server.entries(root)).size).toBe(0);
    },
  );
});
