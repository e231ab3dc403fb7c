/** What the cache of entries takes: memory, and time of one turn. */
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { SILENT } from '../../../src/core/logger.js';
import { attributesOf, entryValue } from '../../../src/micro/registry-entry.js';
import type { ServiceNode } from '../../../src/micro/types.js';
import { EntryCache } from '../../../src/registries/etcd/entry-cache.js';
import { type KeyValue, KeyValueSchema } from '../../../src/registries/etcd/proto/kv_pb.js';
import { reachableBytes } from '../../fixtures/garbage.js';
import { node } from '../../fixtures/registries.js';

const MIB = 1024 * 1024;

function entryOf(given: ServiceNode, value = entryValue(given)): KeyValue {
  const key = Buffer.from(`/getty/${attributesOf(given)}/${given.id}`);
  return create(KeyValueSchema, { key, value: Buffer.from(value) });
}

function pairs(count: number, i: number): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, at) => [`${at}`, `${(i + at) % 1_000}`]),
  );
}

/** Bytes that a cache takes which was given twice as many entries as it may keep. */
async function memoryOf(
  entryAt: (i: number) => KeyValue,
  maxBytes: number,
): Promise<{ asText: number; asNodes: number }> {
  const before = reachableBytes();
  const cache = new EntryCache('/getty/', { maxEntries: 1e6, maxBytes, logger: SILENT });
  let size = 0;
  for (let i = 0; i < 40_000 && size < 2 * maxBytes; i++) {
    const entry = entryAt(i);
    size += entry.key.length + entry.value.length;
    cache.put(entry);
  }
  const asText = reachableBytes() - before;
  const nodes = await cache.listAll();
  const asNodes = reachableBytes() - before;
  expect(nodes.length).toBeLessThan(size);
  return { asText, asNodes };
}

test.each<[string, (i: number) => KeyValue]>([
  ['small entries of one service', (i) => entryOf(node(`n${i}`))],
  ['empty entries of many services', (i) => entryOf(node('x', { service: `Service-${i}` }), '')],
  ['long services', (i) => entryOf(node('x', { service: `${i}${'s'.repeat(2_000)}` }), '')],
  ['long groups', (i) => entryOf(node('x', { group: `${i}${'\u0100'.repeat(300)}` }))],
  ['long ids', (i) => entryOf(node(`\u0100${i}${'x'.repeat(8_000)}`))],
  ['large values', (i) => entryOf(node(`${i}`, { metadata: { a: 'x'.repeat(30_000) } }))],
  [
    'two-byte texts',
    (i) => entryOf(node(`${i}`, { metadata: { a: `\u0100${'x'.repeat(30_000)}` } })),
  ],
  ['much metadata', (i) => entryOf(node(`${i}`, { metadata: pairs(256, i) }))],
])('%s take no more memory than maxBytes, as text and as nodes', async (_, entryAt) => {
  const maxBytes = 4 * MIB;
  // The first time, code is compiled, and that takes memory too.
  await memoryOf(entryAt, 64 * 1024);
  const { asText, asNodes } = await memoryOf(entryAt, maxBytes);
  for (const bytes of [asText, asNodes]) expect(bytes).toBeLessThan(1.2 * maxBytes);
  expect(Math.max(asText, asNodes)).toBeGreaterThan(maxBytes / 4);
});

test('large entries are parsed when they are put, because a list is made in one turn', () => {
  const lines: string[] = [];
  const logger = { ...SILENT, warn: (_: object, text: string) => void lines.push(text) };
  const cache = new EntryCache('/getty/', { maxEntries: 10, maxBytes: 1e9, logger });
  cache.put(entryOf(node('small'), '[1]'));
  expect(lines).toHaveLength(0);
  cache.put(entryOf(node('large'), `[${' '.repeat(2_000)}]`));
  expect(lines).toHaveLength(1);
  expect(cache.list({ service: node('small').service })).toEqual([]);
  expect(lines).toHaveLength(2);
});

test('entries of other services are put in several turns', async () => {
  const entries = Array.from({ length: 20_000 }, (_, i) =>
    entryOf(node('x', { service: `Service-${i}` }), '{}'),
  );
  const cache = new EntryCache('/getty/', { maxEntries: 1e6, maxBytes: 1e9, logger: SILENT });
  let turns = 0;
  let done = false;
  const count = (): void => {
    turns++;
    if (!done) setImmediate(count);
  };
  setImmediate(count);
  await cache.putAll(entries);
  done = true;
  expect(turns).toBeGreaterThan(1);
});
