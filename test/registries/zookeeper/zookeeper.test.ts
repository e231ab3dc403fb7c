/**
 * The ZooKeeper registry: entries and registrations. behavior.test.ts and outages.test.ts have the
 * behavior of all registries.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { inspect, promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { attributesOf, entryValue, parseEntry } from '../../../src/micro/registry-entry.js';
import type { ServiceNode } from '../../../src/micro/types.js';
import { ZooKeeperClient } from '../../../src/registries/zookeeper/index.js';
import { isPending, node, RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import { elapse, until, within } from '../../fixtures/waiting.js';
import { ZooKeeperTestClient } from '../../fixtures/zookeeper-test-client.js';
import { ChildProcesses } from '../child-processes.js';
import { RECORDED_ENTRIES } from '../recorded-entries.js';
import {
  LONG_SESSION,
  open,
  pathOf,
  publishedIds,
  root,
  SHORT_SESSION,
  server,
  untilPublished,
  useNextRoot,
  useRoot,
  useZooKeeper,
} from './registry-setup.js';

describe('the ZooKeeper registry', () => {
  useZooKeeper();

  const children = new ChildProcesses();
  afterEach(() => children[Symbol.asyncDispose]());

  /** Starts a process with a provider of the service Who. */
  const startProvider = (id: string) =>
    children.start('zookeeper-provider.mjs', [
      server.url(root),
      JSON.stringify({ sessionTimeout: SHORT_SESSION }),
      id,
    ]);

  it("writes Go's entries byte for byte, persistent and ephemeral, and deletes them at once", async () => {
    useRoot('/getty-micro');
    const registry = open();
    for (const { path, value } of RECORDED_ENTRIES) {
      const registration = await registry.register(parseEntry(path, value));
      expect(await server.entries(root)).toEqual(new Map([[path, value]]));
      expect(await server.owner(path)).not.toBe(0n);
      expect(await server.owner(path.slice(0, path.lastIndexOf('/')))).toBe(0n);
      await registration[Symbol.asyncDispose]();
      expect(await server.entries(root)).toEqual(new Map());
    }
  });

  it('reads and writes the entries of the command-line client of ZooKeeper', async () => {
    useNextRoot();
    const written = RECORDED_ENTRIES.map(({ path, value }) => ({
      path: path.replace('/getty-micro', root),
      value,
    }));
    const [ownEntries, otherEntries] = [written.slice(0, 2), written.slice(2)];
    const registry = open();
    for (const { path, value } of ownEntries) await registry.register(parseEntry(path, value));
    for (const { path, value } of ownEntries)
      expect(await runCommand('get', path)).toContain(value);
    await runCommand('create', (otherEntries[0]?.path ?? '').replace(/\/[^/]*$/, ''));
    for (const { path, value } of otherEntries) await runCommand('create', path, value);
    await using watch = new WatchReader(registry);
    const nodes = await watch.until(
      ({ length }) => length === RECORDED_ENTRIES.length,
      'all recorded entries',
    );
    const order = (a: ServiceNode, b: ServiceNode): number => (a.id < b.id ? -1 : 1);
    expect(nodes).toEqual(
      RECORDED_ENTRIES.map(({ path, value }) => parseEntry(path, value)).sort(order),
    );
  });

  /** Runs a command of the command-line client. Returns its output. */
  async function runCommand(...args: string[]): Promise<string> {
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

  it('replaces the entry of a killed process, and keeps it when the old session ends', async () => {
    useNextRoot();
    await server.put(`${root}/${attributesOf(node('a'))}`, '');
    const old = await ZooKeeperTestClient.connect(server, 0n, SHORT_SESSION);
    await old.put(
      pathOf(node('a')),
      Buffer.from(entryValue(node('a', { address: 'tcp://127.0.0.1:1' }))),
      true,
    );
    old.drop();
    await using watch = new WatchReader(open());
    await watch.ids('a');
    await open().register(node('a', { address: 'tcp://127.0.0.1:2' }));
    await watch.until(([first]) => first?.address === 'tcp://127.0.0.1:2', 'the new address');
    // The old session has expired then.
    await elapse(SHORT_SESSION * 1.5);
    expect([...(await server.entries(root)).values()]).toEqual([
      entryValue(node('a', { address: 'tcp://127.0.0.1:2' })),
    ]);
    expect(watch.seen).toEqual([['a'], ['a']]);
  });

  it('keeps an entry that another process took over, and publishes its own again when that process has ended', async () => {
    useNextRoot();
    const log = new RecordingLogger();
    const [own, other] = [
      node('a', { address: 'tcp://127.0.0.1:1' }),
      node('a', { address: 'tcp://127.0.0.1:2' }),
    ];
    const first = open({ logger: log });
    const registration = await first.register(own);
    await using watch = new WatchReader(open());
    await watch.ids('a');
    const second = open();
    await second.register(other);
    await log.waitFor('another process has published this entry');
    await watch.until(
      ([only]) => only?.address === other.address,
      'the address of the other process',
    );
    await second[Symbol.asyncDispose]();
    await watch.until(([only]) => only?.address === own.address, 'its own address');
    await log.waitFor('published the entry again');
    expect(log.lines.map(({ message }) => message)).toEqual([
      expect.stringContaining('another process has published this entry'),
      expect.stringContaining('published the entry again'),
    ]);
    await registration[Symbol.asyncDispose]();
    await untilPublished();
  });

  it('publishes an entry again that another client deleted or changed, also after a deletion of the root', async () => {
    useNextRoot();
    const log = new RecordingLogger();
    const registry = open({ logger: log });
    await registry.register(node('a'));
    await registry.register(node('b', { service: 'Other' }));
    await server.remove(pathOf(node('a')));
    await untilPublished('a', 'b');
    await log.waitFor('published the entry again');
    await server.put(pathOf(node('a')), 'garbage');
    await using watch = new WatchReader(open());
    await watch.ids('a');
    await server.remove(root);
    await untilPublished('a', 'b');
    expect((await server.entries(root)).get(pathOf(node('a')))).toBe(entryValue(node('a')));
    await using later = new WatchReader(open());
    await later.ids('a');
    expect(await server.owner(pathOf(node('a')))).not.toBe(0n);
  });

  it('publishes every entry again after the server ended the session, and lists all of them meanwhile', async () => {
    useNextRoot();
    const log = new RecordingLogger();
    const registry = open({ logger: log });
    await using watch = new WatchReader(registry);
    await using other = new WatchReader(registry, { service: 'Other' });
    await registry.register(node('a'));
    await registry.register(node('b'));
    await registry.register(node('c', { service: 'Other' }));
    await watch.ids('a', 'b');
    await other.ids('c');
    const first = await server.owner(pathOf(node('a')));
    const next = watch.next();
    await server.expire(first as bigint);
    await log.waitFor('the ZooKeeper session has expired');
    await untilPublished('a', 'b', 'c');
    await log.waitFor('published the entry again', 3);
    expect(await server.owner(pathOf(node('a')))).not.toBe(first);
    expect(await isPending(next)).toBe(true);
    await open().register(node('d'));
    expect((await within(next, 'the next list'))?.map(({ id }) => id)).toEqual(['a', 'b', 'd']);
    expect(log.linesWith('expired').length).toBe(1);
  });

  it('creates a replaced entry again instead of changing it, so that its former owner cannot delete it by version', async () => {
    useNextRoot();
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

  it('rejects register() when the server refuses it, and skips entries without read permission', async () => {
    useNextRoot();
    const log = new RecordingLogger();
    const owner = open({ credentials: 'me:secret', acl: 'creator' });
    await owner.register(node('a'));
    const error = await open()
      .register(node('b'))
      .catch((failure) => failure);
    expect(error).toMatchObject({ code: 'REGISTRY_FAILED', cause: { reason: 'NO_AUTH' } });
    await using watch = new WatchReader(open({ logger: log, credentials: 'you:other' }));
    const next = watch.next();
    await log.waitFor('cannot be read');
    expect(await isPending(next)).toBe(true);
    await using ownerWatch = new WatchReader(open({ credentials: 'me:secret' }));
    await ownerWatch.ids('a');
    await owner[Symbol.asyncDispose]();
    useRoot(`${root}-readable`);
    const readable = open({ credentials: 'me:secret', acl: 'readable' });
    await readable.register(node('c'));
    const reader = open();
    await using readerWatch = new WatchReader(reader);
    await readerWatch.ids('c');
    expect(inspect(log.lines) + inspect(error, { depth: 9 })).not.toMatch(/secret|other/);
  });

  it('rejects an entry that is too large at once', async () => {
    useNextRoot();
    const registry = open();
    const large = node('a', { metadata: { x: 'x'.repeat(1024 * 1024 - 300) } });
    await expect(registry.register(large)).rejects.toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining('at most 65536 bytes'),
    });
    await registry.register(node('b'));
    expect(await publishedIds()).toEqual(['b']);
  });

  it('ends its session, entries and watches when it is disposed', async () => {
    useNextRoot();
    const before = await server.connections();
    const registry = open();
    await registry.register(node('a'));
    const watch = new WatchReader(registry);
    await watch.ids('a');
    expect(await server.connections()).toBe(before + 1);
    const next = watch.next();
    await registry[Symbol.asyncDispose]();
    expect(await next).toBeUndefined();
    expect(await publishedIds()).toEqual([]);
    await until(async () => (await server.connections()) === before, 'its session has ended');
  });

  it('lets a process end after it is disposed, without entries', async () => {
    useNextRoot();
    const child = await startProvider('a');
    await untilPublished('a');
    child.stdin?.end();
    const [code] = await within(once(child, 'exit'), 'the end of the process');
    expect([code, await publishedIds()]).toEqual([0, []]);
  });

  it('removes the node of a killed process after its session', async () => {
    useNextRoot();
    const child = await startProvider('a');
    await using watch = new WatchReader(open(), { service: 'Who' });
    await watch.ids('a');
    child.kill('SIGKILL');
    await watch.ids();
  });
});
