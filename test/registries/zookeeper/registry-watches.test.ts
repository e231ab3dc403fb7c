/** The watches of the ZooKeeper registry. */
import { describe, expect, it } from 'vitest';
import { attributesOf, entryPath, entryValue } from '../../../src/micro/registry-entry.js';
import { node, QUERY, RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import { until } from '../../fixtures/waiting.js';
import {
  LONG_SESSION,
  open,
  openAt,
  openProxy,
  pathOf,
  root,
  server,
  useNextRoot,
  useZooKeeper,
} from './registry-setup.js';

describe('the ZooKeeper registry', () => {
  useZooKeeper();

  it('keeps a node that is missing after an outage for settleTime', async () => {
    useNextRoot();
    const proxy = await openProxy();
    await open().register(node('kept'));
    const removed = await open().register(node('removed'));
    const log = new RecordingLogger();
    await using watch = new WatchReader(open({ settleTime: 500, logger: log }, proxy));
    await watch.ids('kept', 'removed');
    proxy.refuse();
    await log.waitFor('ZooKeeper cannot be reached');
    await removed[Symbol.asyncDispose]();
    await open().register(node('added'));
    const start = performance.now();
    proxy.accept();
    await log.waitFor('ZooKeeper answers again');
    await watch.ids('added', 'kept', 'removed');
    await watch.ids('added', 'kept');
    expect(performance.now() - start).toBeGreaterThan(400);
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('skips entries over maxEntries with one log line, and adds them when there is room', async () => {
    useNextRoot();
    const log = new RecordingLogger();
    const registrations = [];
    for (let i = 0; i < 12; i++) registrations.push(await open().register(node(`n${i}`)));
    await using watch = new WatchReader(open({ logger: log, maxEntries: 10 }));
    expect((await watch.next())?.length).toBe(10);
    expect(log.linesWith('the cache is full').length).toBe(1);
    for (const registration of registrations.slice(0, 4)) await registration[Symbol.asyncDispose]();
    await watch.until((nodes) => nodes.length === 8, 'the eight remaining nodes');
  });

  it('starts a watch with an empty list if the root does not exist, and lists nodes when it is created, also below a chroot', async () => {
    useNextRoot();
    await using watch = new WatchReader(open());
    await watch.ids();
    await open().register(node('a'));
    await watch.ids('a');
    const inner = openAt(`${server.address}${root}/deep/chroot`, {
      root: '/',
      sessionTimeout: LONG_SESSION,
    });
    await using innerWatch = new WatchReader(inner);
    await innerWatch.ids();
    await inner.register(node('x'));
    await innerWatch.ids('x');
    expect([...(await server.entries(`${root}/deep/chroot`)).keys()]).toEqual([
      `${root}/deep/chroot${entryPath('', node('x'))}`,
    ]);
  });

  it('lists the nodes of an ATTRIBUTES node that another client deleted and created again', async () => {
    useNextRoot();
    const put = (id: string): Promise<void> => server.put(pathOf(node(id)), entryValue(node(id)));
    await put('a');
    await using watch = new WatchReader(open());
    await watch.ids('a');
    for (let round = 0; round < 5; round++) {
      await server.remove(`${root}/${attributesOf(node('a'))}`);
      await put(`${round}`);
      await watch.ids(`${round}`);
    }
  });

  it('reads 1,000 nodes of 100 services over one connection, and makes few requests for a change', async () => {
    useNextRoot();
    const [providing, consuming] = [
      open({ operationTimeout: 60_000, sessionTimeout: 30_000 }),
      open({ operationTimeout: 60_000, sessionTimeout: 30_000 }),
    ];
    const service = (n: number): string => `Service${n % 100}`;
    const start = performance.now();
    await Promise.all(
      Array.from({ length: 1_000 }, (_, n) =>
        providing.register(node(`n${n}`, { service: service(n) })),
      ),
    );
    const registered = performance.now();
    const watches = Array.from(
      { length: 100 },
      (_, n) => new WatchReader(consuming, { service: service(n) }),
    );
    await Promise.all(watches.map(untilTenNodes));
    const listed = performance.now();
    expect(await server.connections()).toBe(2);
    const packets = async (): Promise<number> =>
      Number(/zk_packets_received\s+(\d+)/.exec(await server.command('mntr'))?.[1]);
    const before = await packets();
    await using watch7 = watches[7] as WatchReader;
    await providing.register(node('new', { service: service(7) }));
    await watch7.until(({ length }) => length === 11, 'the new node');
    await providing.register(node('new', { service: service(7), metadata: { weight: '2' } }));
    await watch7.until(
      (nodes) => nodes.some(({ metadata }) => metadata.weight === '2'),
      'its change',
    );
    const received = (await packets()) - before;
    // The registries create the node, verify it twice, list one ATTRIBUTES node and read one node
    // twice. The requests of this test and pings count too.
    expect(received).toBeLessThan(25);
    console.info(
      `1,000 registered in ${Math.round(registered - start)} ms, listed in ${Math.round(listed - registered)} ms; two changes: ${received} packets`,
    );
    for (const watch of watches) await watch[Symbol.asyncDispose]();
  });

  /** Reads lists until one has ten nodes. It has no time limit, because there are 1,000 nodes. */
  async function untilTenNodes(watch: WatchReader): Promise<void> {
    while ((await watch.next())?.length !== 10) {}
  }

  it('leaves no watch on the server after many watches have ended', async () => {
    useNextRoot();
    const proxy = await openProxy();
    const log = new RecordingLogger();
    const registry = open({ logger: log }, proxy);
    const other = open();
    for (const id of ['a', 'b', 'c']) await other.register(node(id));
    for (let round = 0; round < 10; round++) {
      await using watch = new WatchReader(registry);
      await watch.ids('a', 'b', 'c');
    }
    const endedEarly = new WatchReader(registry);
    const first = endedEarly.next();
    await endedEarly[Symbol.asyncDispose]();
    await first;
    await registry.register(node('x', { service: 'Other' }));
    proxy.refuse();
    await log.waitFor('ZooKeeper cannot be reached');
    proxy.accept();
    await log.waitFor('ZooKeeper answers again');
    // A new connection sets only the watches of the registrations again.
    await other.register(node('y', { service: 'Other' }));
    const watched = async (): Promise<number> =>
      Number(/Total watches:(\d+)/.exec(await server.command('wchs'))?.[1]);
    await until(async () => (await watched()) === 5, 'the server has five watches');
  });

  it('gives a new watch the present list after all watches have ended', async () => {
    useNextRoot();
    const registry = open();
    const watch = new WatchReader(registry);
    await open().register(node('a'));
    await watch.ids('a');
    await watch[Symbol.asyncDispose]();
    await open().register(node('b'));
    await using later = new WatchReader(registry);
    expect((await later.next())?.map(({ id }) => id)).toEqual(['a', 'b']);
  });

  it('serves watches of one service with different queries', async () => {
    useNextRoot();
    const registry = open();
    await open().register(node('a', { version: 'v1' }));
    await open().register(node('b', { version: 'v2' }));
    await using all = new WatchReader(registry);
    await using one = new WatchReader(registry, { ...QUERY, version: 'v1' });
    await using none = new WatchReader(registry, { ...QUERY, version: 'v3' });
    await all.ids('a', 'b');
    await one.ids('a');
    await none.ids();
    await open().register(node('c', { version: 'v3' }));
    await none.ids('c');
    await all.ids('a', 'b', 'c');
  });
});
