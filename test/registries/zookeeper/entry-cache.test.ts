import { expect, it } from 'vitest';
import { entryValue } from '../../../src/micro/registry-entry.js';
import type { ServiceNode } from '../../../src/micro/types.js';
import { ENTRY_LIMITS, EntryBudget } from '../../../src/registries/shared/entry-budget.js';
import { EntryCache } from '../../../src/registries/zookeeper/entry-cache.js';
import type { ZooKeeperClient } from '../../../src/registries/zookeeper/index.js';
import { listNodes } from '../../../src/registries/zookeeper/list-nodes.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node, QUERY, RecordingLogger } from '../../fixtures/registries.js';
import { Inbox, turns, until } from '../../fixtures/waiting.js';
import { attributesAt, firstList, openTree, type Tree } from './entry-tree.js';
import { useInvalidServer } from './invalid-server.js';

noLeaks();
useInvalidServer();

it('reads at most 2,000 of the ATTRIBUTES nodes that match, and logs it once', async () => {
  const names = Array.from({ length: 2_100 }, (_, i) => attributesAt(i));
  const read = new Set<string>();
  const client = await openTree({
    childrenOf(path) {
      if (path === '/root') return names;
      read.add(path);
      return [];
    },
  });
  const log = new RecordingLogger();
  const cache = new EntryCache(client, '/root', ENTRY_LIMITS, log);
  expect(await firstList(cache)).toEqual([]);
  expect(read.size).toBe(2_000);
  expect(log.linesWith('too many ATTRIBUTES nodes')).toHaveLength(1);
  cache.stop();
});

it('keeps entries up to maxBytes, of which a character above U+00FF takes two', async () => {
  const names = Array.from({ length: 8 }, (_, i) => attributesAt(i));
  const ids = Array.from({ length: 50 }, (_, i) => `n${i}`);
  const metadata = { a: `\u0100${'x'.repeat(30_000)}` };
  const tree: Tree = {
    childrenOf: (path) => (path === '/root' ? names : ids),
    textOf(path) {
      const [name = '', id = ''] = path.split('/').slice(2);
      return entryValue(node(id, { group: `g${names.indexOf(name)}`, metadata }));
    },
  };
  const limits = { maxEntries: 1_000_000, maxBytes: 3_000_000 };
  const log = new RecordingLogger();
  const client = await openTree(tree);
  const cache = new EntryCache(client, '/root', limits, log);
  const nodes = await firstList(cache);
  expect(nodes.length).toBeGreaterThan(20);
  expect(nodes.length).toBeLessThan(50);
  expect(log.linesWith('the cache is full')).toHaveLength(1);
  cache.stop();
  const budget = new EntryBudget('/root', limits, log);
  expect((await listNodes(client, '/root', budget)).length).toBe(49);
  expect(log.linesWith('the cache is full')).toHaveLength(2);
});

it('keeps ids up to maxBytes, before their values are read', async () => {
  const ids = Array.from({ length: 300 }, (_, i) => `${i}${'x'.repeat(3_000)}`);
  let reads = 0;
  const client = await openTree({
    childrenOf: (path) => (path === '/root' ? [attributesAt(1)] : ids),
    textOf: () => `${++reads}`,
  });
  const limits = { maxEntries: 1_000_000, maxBytes: 400_000 };
  const cache = new EntryCache(client, '/root', limits, new RecordingLogger());
  expect(await firstList(cache)).toEqual([]);
  expect(reads).toBeGreaterThan(50);
  expect(reads).toBeLessThan(150);
  cache.stop();
});

it('reads the names of other services in several turns', async () => {
  const names = Array.from({ length: 49_000 }, (_, i) => attributesAt(i, `Other${i}`));
  // Without a connection, whose answers would arrive in turns of their own.
  const client = {
    state: 'connected',
    sync: async () => {},
    firstChildren: async () => ({ elements: names, count: names.length }),
    unwatch() {},
  } as unknown as ZooKeeperClient;
  const cache = new EntryCache(client, '/root', ENTRY_LIMITS, new RecordingLogger());
  let turns = 0;
  const onTurn = (): void => {
    turns++;
    next = setImmediate(onTurn);
  };
  let next = setImmediate(onTurn);
  expect(await firstList(cache)).toEqual([]);
  clearImmediate(next);
  expect(turns).toBeGreaterThan(2);
  cache.stop();
});

it('reads the first of too many names, and logs that once', async () => {
  const names = [attributesAt(1)];
  let watcher: (() => void) | undefined;
  let lists = 0;
  const client = {
    state: 'connected',
    sync: async () => {},
    async firstChildren(path: string, { watch }: { watch: () => void }) {
      if (path !== '/root') return { elements: [], count: 0 };
      lists++;
      watcher = watch;
      return { elements: names, count: 50_001 };
    },
    unwatch() {},
  } as unknown as ZooKeeperClient;
  const log = new RecordingLogger();
  const cache = new EntryCache(client, '/root', ENTRY_LIMITS, log);
  expect(await firstList(cache)).toEqual([]);
  watcher?.();
  await until(() => lists === 2, 'the second list');
  expect(log.linesWith('50001 ATTRIBUTES nodes are too many')).toHaveLength(1);
  cache.stop();
});

it('skips names that a path cannot have, and ends a watch of them', async () => {
  const invalid = ['', '.', '..', 'a/b', 'a\0b', 'a\u007f', '\ufff0'];
  const good = attributesAt(1);
  const names = [...invalid.map((name) => `${attributesAt(2)}${name && `%26x%3D${name}`}`), good];
  const client = await openTree({
    childrenOf: (path) => (path === '/root' ? [...invalid, ...names] : [...invalid, 'n1']),
    textOf: () => entryValue(node('n1', { group: 'g1' })),
  });
  const log = new RecordingLogger();
  const cache = new EntryCache(client, '/root', ENTRY_LIMITS, log);
  let stop = (): void => {};
  const list = await new Promise<readonly ServiceNode[]>((resolve) => {
    stop = cache.watch(QUERY, { offer: resolve, end() {}, fail() {} });
  });
  expect(list.map(({ id, group }) => `${group} ${id}`)).toContain('g1 n1');
  expect(log.linesWith('skipped an invalid entry').length).toBeGreaterThanOrEqual(invalid.length);
  stop();
  cache.stop();
  const budget = new EntryBudget('/root', ENTRY_LIMITS, log);
  const listed = await listNodes(client, '/root', budget);
  expect(listed.map(({ id, group }) => `${group} ${id}`)).toContain('g1 n1');
});

it('offers a list once for the changes of many groups in one turn', async () => {
  const names = Array.from({ length: 500 }, (_, i) => attributesAt(i));
  const watchers: (() => void)[] = [];
  const client = {
    state: 'connected',
    sync: async () => {},
    async firstChildren(path: string, { watch }: { watch: () => void }) {
      if (path === '/root') return { elements: names, count: names.length };
      watchers.push(watch);
      return { elements: [], count: 0 };
    },
    unwatch() {},
  } as unknown as ZooKeeperClient;
  const cache = new EntryCache(client, '/root', ENTRY_LIMITS, new RecordingLogger());
  const lists = new Inbox<readonly ServiceNode[]>('a list');
  cache.watch(QUERY, { offer: (list) => lists.push(list), end() {}, fail() {} });
  expect(await lists.next()).toEqual([]);
  await turns(2);
  lists.dismiss();
  for (const onEvent of watchers.splice(0)) onEvent();
  expect(await lists.next()).toEqual([]);
  await turns(2);
  expect(watchers).toHaveLength(500);
  expect(lists.unread).toEqual([]);
  cache.stop();
});
