/** What the cache of entries takes. */
import { expect, it } from 'vitest';
import { SILENT } from '../../../src/core/logger.js';
import { entryValue } from '../../../src/micro/registry-entry.js';
import { EntryCache } from '../../../src/registries/zookeeper/entry-cache.js';
import { reachableBytes } from '../../fixtures/garbage.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node } from '../../fixtures/registries.js';
import { attributesAt, firstList, openTree } from './entry-tree.js';
import { useInvalidServer } from './invalid-server.js';

noLeaks();
useInvalidServer();

it('small entries take no more memory than maxBytes', async () => {
  const names = Array.from({ length: 4 }, (_, i) => attributesAt(i));
  const ids = Array.from({ length: 4_000 }, (_, i) => `n${i}`);
  const client = await openTree({
    childrenOf: (path) => (path === '/root' ? names : ids),
    textOf(path) {
      const [name = '', id = ''] = path.split('/').slice(2);
      return entryValue(node(id, { group: `g${names.indexOf(name)}` }));
    },
  });
  const listWith = async (maxBytes: number): Promise<number> => {
    const limits = { maxEntries: 1_000_000, maxBytes };
    const cache = new EntryCache(client, '/root', limits, SILENT);
    const before = reachableBytes();
    const nodes = await firstList(cache);
    const taken = reachableBytes() - before;
    expect(nodes.length).toBeLessThan(names.length * ids.length);
    cache.stop();
    return taken;
  };
  // The first time, code is compiled, and that takes memory too.
  await listWith(64 * 1024);
  const maxBytes = 8 * 1024 * 1024;
  const taken = await listWith(maxBytes);
  expect(taken).toBeLessThan(1.2 * maxBytes);
  expect(taken).toBeGreaterThan(0.5 * maxBytes);
});
