/**
 * The etcd registry: entries and leases. behavior.test.ts and outages.test.ts have the behavior of
 * all registries.
 */
import { describe, expect, it } from 'vitest';
import { entryPath, entryValue, parseEntry } from '../../../src/micro/registry-entry.js';
import { etcd } from '../../../src/registries/etcd/index.js';
import { registry as openRegistry } from '../../../src/registries/index.js';
import { node, RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import { until } from '../../fixtures/waiting.js';
import { RECORDED_ENTRIES } from '../recorded-entries.js';
import {
  open,
  pathOf,
  QUICK,
  root,
  server,
  untilValue,
  useEtcd,
  useNextRoot,
  useRoot,
} from './etcd-setup.js';

describe('the etcd registry', () => {
  useEtcd();

  it("writes and reads Go's entries byte for byte", async () => {
    useRoot('/getty-micro');
    const registry = open();
    for (const { path, value } of RECORDED_ENTRIES) {
      const registration = await registry.register(parseEntry(path, value));
      expect([...(await server.entries(root))]).toEqual([[path, value]]);
      await registration[Symbol.asyncDispose]();
      expect((await server.entries(root)).size).toBe(0);
    }
    await using watch = new WatchReader(registry);
    await watch.ids();
    for (const { path, value } of RECORDED_ENTRIES) await server.put(path, value);
    const nodes = await watch.until(
      ({ length }) => length === RECORDED_ENTRIES.length,
      'all recorded nodes',
    );
    expect(nodes.map((each) => [entryPath(root, each), entryValue(each)]).sort()).toEqual(
      RECORDED_ENTRIES.map(({ path, value }) => [path, value]).sort(),
    );
    for (const { path } of RECORDED_ENTRIES) await server.remove(path);
    await watch.ids();
  });

  it('does not confuse a root with another root of the same prefix', async () => {
    useNextRoot();
    const log = new RecordingLogger();
    await using watch = new WatchReader(open({ logger: log }));
    await watch.ids();
    await open({ root: `${root}2` }).register(node('other'));
    await open().register(node('a'));
    await watch.ids('a');
    expect(log.lines).toEqual([]);
  });

  it('revokes the lease when it is disposed, so that the entries are deleted at once', async () => {
    useNextRoot();
    const registry = etcd(server.endpoint, { ...QUICK, root, ttl: 60_000 });
    for (const id of ['a', 'b', 'c']) await registry.register(node(id));
    const leases = await server.leases();
    expect(leases.length).toBe(1);
    await registry[Symbol.asyncDispose]();
    expect(await server.leases()).toEqual([]);
    expect((await server.entries(root)).size).toBe(0);
  });

  it('revokes the lease with the last registration, and requests a new one for the next', async () => {
    useNextRoot();
    const registry = open();
    const registration = await registry.register(node('a'));
    await registration[Symbol.asyncDispose]();
    await until(async () => (await server.leases()).length === 0, 'the lease is revoked');
    await registry.register(node('b'));
    await untilValue('b', entryValue(node('b')));
  });

  it('writes a deleted key again', async () => {
    useNextRoot();
    const log = new RecordingLogger();
    await open({ logger: log }).register(node('a'));
    await server.remove(pathOf('a'));
    await log.waitFor('published the entry again');
    await untilValue('a', entryValue(node('a')));
  });

  it('keeps a key that another process took over, logs this once, and writes its own again when that key is deleted', async () => {
    useNextRoot();
    const log = new RecordingLogger();
    const registry = open({ logger: log });
    const registration = await registry.register(node('a'));
    await server.put(pathOf('a'), 'of another process');
    await log.waitFor('another process has published this entry');
    await server.put(pathOf('a'), 'changed by the other process');
    await registry.register(node('b'));
    await untilValue('a', 'changed by the other process');
    expect(log.linesWith('another process').length).toBe(1);
    await server.remove(pathOf('a'));
    await untilValue('a', entryValue(node('a')));
    // Disposing does not delete an entry of another process.
    await server.put(pathOf('a'), 'of another process');
    await log.waitFor('another process', 2);
    await registration[Symbol.asyncDispose]();
    await untilValue('a', 'of another process');
  });

  it('replaces a revoked lease, and writes every entry again under the new one', async () => {
    useNextRoot();
    const log = new RecordingLogger();
    const registry = open({ logger: log });
    const ids = Array.from({ length: 100 }, (_, i) => `n${String(i).padStart(3, '0')}`);
    await Promise.all(ids.map((id) => registry.register(node(id))));
    const [lease = ''] = await server.leases();
    // This removes all entries.
    await server.revoke(lease);
    await using watch = new WatchReader(open());
    await watch.ids(...ids);
    expect(log.linesWith('the lease is lost').length).toBe(1);
    expect((await server.leases()).length).toBe(1);
  });

  it('gives a first list with entries that were just written, and without entries that were just removed', async () => {
    useNextRoot();
    const registry = open();
    await using watch = new WatchReader(registry);
    await watch.ids();
    for (let i = 0; i < 20; i++) {
      const registration = await registry.register(node('a'));
      await using present = new WatchReader(registry);
      expect((await present.next())?.length).toBe(1);
      await registration[Symbol.asyncDispose]();
      await using absent = new WatchReader(registry);
      expect((await absent.next())?.length).toBe(0);
    }
  });

  it('registry(url) accepts several hosts, and has a default root', async () => {
    useNextRoot();
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
