/** Very many new entries in one list are parsed in several turns of the event loop. */
import { create } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { SILENT } from '../../../src/core/logger.js';
import { entryPath, entryValue } from '../../../src/micro/registry-entry.js';
import type { SnapshotSink } from '../../../src/micro/snapshots.js';
import type { ServiceNode } from '../../../src/micro/types.js';
import { EntryCache } from '../../../src/registries/etcd/entry-cache.js';
import { KeyValueSchema } from '../../../src/registries/etcd/proto/kv_pb.js';
import { type ListSource, SnapshotWatches } from '../../../src/registries/etcd/snapshot-watches.js';
import { node, QUERY } from '../../fixtures/registries.js';
import { turns, until } from '../../fixtures/waiting.js';

const COUNT = 300;
const ids = (nodes: readonly ServiceNode[]): string[] => nodes.map(({ id }) => id).sort();
const all = Array.from({ length: COUNT }, (_, i) => node(`n${i}`));

/** A cache with `COUNT` entries; that of `n7` is invalid. */
function filledCache(): EntryCache {
  const cache = new EntryCache('/getty/', { maxEntries: 1e6, maxBytes: 1e9, logger: SILENT });
  for (const each of all) {
    const value = Buffer.from(each.id === 'n7' ? 'no entry' : entryValue(each));
    cache.put(create(KeyValueSchema, { key: Buffer.from(entryPath('/getty', each)), value }));
  }
  return cache;
}

class RecordingSink implements SnapshotSink {
  readonly lists: (readonly ServiceNode[])[] = [];
  offer(nodes: readonly ServiceNode[]): void {
    this.lists.push(nodes);
  }
  end(): void {}
  fail(): void {}
}

beforeAll(() => {
  // By this clock, each reading of the clock takes longer than the budget of a turn.
  let clock = performance.now();
  vi.spyOn(performance, 'now').mockImplementation(() => (clock += 15));
});
afterAll(() => void vi.restoreAllMocks());

it('a watch gets its list when all entries are parsed', async () => {
  const cache = filledCache();
  let asked = 0;
  const source: ListSource = {
    revision: 1n,
    hadOutage: false,
    list(query) {
      asked++;
      return cache.list(query);
    },
  };
  const watches = new SnapshotWatches(source);
  const sink = new RecordingSink();
  watches.add(sink, QUERY);
  watches.beforeFullRead();
  watches.offerAll();
  expect(sink.lists).toEqual([]);
  expect(watches.isFirstListPending).toBe(true);
  // A list that is due meanwhile is the same one.
  watches.offerAll();
  expect(asked).toBe(1);
  await until(() => sink.lists.length > 0, 'the watch has its list');
  expect(asked).toBeGreaterThan(5);
  expect(ids(sink.lists[0] ?? [])).toEqual(ids(all.filter(({ id }) => id !== 'n7')));
  expect(watches.isFirstListPending).toBe(false);
  // Nothing is left to parse.
  watches.offerAll();
  expect(sink.lists).toHaveLength(2);
});

it('a watch that ends meanwhile gets no list', async () => {
  const cache = filledCache();
  const watches = new SnapshotWatches({
    revision: 1n,
    hadOutage: false,
    list: (query) => cache.list(query),
  });
  const sink = new RecordingSink();
  watches.add(sink, QUERY);
  watches.beforeFullRead();
  watches.offerAll();
  watches.remove(sink, QUERY.service);
  await turns(5);
  expect(sink.lists).toEqual([]);
});

it('list() waits until all entries are parsed', async () => {
  let isTurnOver = false;
  setImmediate(() => (isTurnOver = true));
  const nodes = await filledCache().listAll();
  expect(isTurnOver).toBe(true);
  expect(nodes).toHaveLength(COUNT - 1);
});
