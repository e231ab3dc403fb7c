/** The behavior of the watches and lists of every registry. */
import { expect } from 'vitest';
import { isPending, node, QUERY, type RegistryStore, WatchReader } from '../fixtures/registries.js';
import { within } from '../fixtures/waiting.js';
import { watching } from './watching.js';

export const WATCH_BEHAVIORS: Readonly<Record<string, (store: RegistryStore) => Promise<void>>> = {
  'a watch begins with the present list, ordered by id'(store) {
    return watching(store, async (registry, watch) => {
      await registry.register(node('b'));
      await registry.register(node('a'));
      expect((await watch.next())?.map(({ id }) => id)).toEqual(['a', 'b']);
    });
  },

  'a watch of an empty registry begins with an empty list'(store) {
    return watching(store, async (_, watch) => expect(await watch.next()).toEqual([]));
  },

  'lists a node exactly as it was published'(store) {
    const published = node('srv-127.0.0.1:1-json', {
      service: 'a b/c&d=e!~*',
      group: '组',
      protocol: 'protobuf',
      address: 'udp://[::1]:9',
      metadata: { 'getty-micro-meta-key': '{"a":1}', ['__proto__']: 'x' },
    });
    return watching(
      store,
      async (registry, watch) => {
        await registry.register(published);
        expect(await watch.until((nodes) => nodes.length > 0, 'the node')).toEqual([published]);
      },
      { service: published.service },
    );
  },

  'the first list of a watch has what was registered before it began, and not what was removed'(
    store,
  ) {
    return watching(store, async (registry, watch) => {
      const other = store.open();
      await using wide = new WatchReader(other);
      await watch.next();
      await wide.next();
      for (let round = 0; round < 15; round++) {
        const group = `g${round}`;
        const registration = await registry.register(node('a', { group }));
        for (const reader of [registry, other]) {
          await using fresh = new WatchReader(reader, { ...QUERY, group });
          expect([round, (await fresh.next())?.length]).toEqual([round, 1]);
        }
        await registration[Symbol.asyncDispose]();
        for (const reader of [registry, other]) {
          await using fresh = new WatchReader(reader, { ...QUERY, group });
          expect([round, (await fresh.next())?.length]).toEqual([round, 0]);
        }
      }
    });
  },

  'every watch gets additions and removals'(store) {
    return watching(store, async (registry, watch) => {
      await using other = new WatchReader(store.open());
      await watch.ids();
      await other.ids();
      const registration = await registry.register(node('a'));
      await watch.ids('a');
      await other.ids('a');
      await registration[Symbol.asyncDispose]();
      await watch.ids();
      await other.ids();
    });
  },

  'queries match the service, and the group, version and protocol if given'(store) {
    return watching(store, async (registry) => {
      await registry.register(node('a'));
      await registry.register(node('b', { group: '' }));
      await registry.register(node('c', { version: 'v2' }));
      await registry.register(node('d', { protocol: 'protobuf' }));
      await registry.register(node('e', { service: 'Other' }));
      await registry.register(node('a', { service: 'TestService2' }));
      const found = async (query: object): Promise<string | undefined> => {
        await using watch = new WatchReader(registry, { ...QUERY, ...query });
        return (await watch.next())?.map(({ id }) => id).join('');
      };
      expect(await found({})).toBe('abcd');
      expect(await found({ group: '', version: '' })).toBe('abcd');
      expect(await found({ group: 'bj' })).toBe('acd');
      expect(await found({ group: 'b' })).toBe('');
      expect(await found({ version: 'v1.0' })).toBe('abd');
      expect(await found({ protocol: 'json' })).toBe('abc');
      expect(await found({ group: 'bj', version: 'v1.0', protocol: 'json' })).toBe('a');
      expect(await found({ service: 'Other' })).toBe('e');
      expect(await found({ service: 'Unknown' })).toBe('');
    });
  },

  'list() returns every node of every service, ordered by id, and no other entries'(store) {
    return watching(store, async (registry) => {
      expect(await registry.list()).toEqual([]);
      const nodes = [
        node('a', { service: 'Other' }),
        node('b', { group: '', protocol: 'protobuf' }),
        node('c', { version: 'v2' }),
      ];
      for (const one of [...nodes].reverse()) await registry.register(one);
      const leaving = await store.open().register(node('d'));
      await store.put?.('foreign/path', 'x');
      await store.put?.(
        'protocol%3Djson%26role%3DSRT_Provider%26service%3DTestService/no-json',
        '{',
      );
      await store.put?.(
        'protocol%3Djson%26role%3DSRT_Consumer%26service%3DTestService/consumer',
        '{}',
      );
      expect(await store.open().list()).toEqual([...nodes, node('d')]);
      await leaving[Symbol.asyncDispose]();
      expect(await registry.list()).toEqual(nodes);
      // A watch reads one service only. list() still returns all services.
      await using watch = new WatchReader(registry, { service: 'Other' });
      await watch.ids('a');
      expect(await registry.list()).toEqual(nodes);
      const disposed = store.open();
      await disposed[Symbol.asyncDispose]();
      await expect(disposed.list()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    });
  },

  'lists addresses of every kind as they were published'(store) {
    return watching(store, async (registry, watch) => {
      const addresses = [
        'tcp://[2001:db8::1]:80',
        'tcp://[::ffff:127.0.0.1]:1',
        'tls://example.org:443',
        'udp://127.0.0.1:53',
        'unix:///run/service/ünïcode.sock',
        'memory://name',
        'ws://example.org:80/rpc?id=1',
        'ws://[::1]:8080/a/b%20c',
        'wss://example.org:443/',
      ];
      for (const [i, address] of addresses.entries())
        await registry.register(node(`n${i}`, { address }));
      const nodes = await watch.until(({ length }) => length === addresses.length, 'all nodes');
      expect(nodes.map(({ address }) => address)).toEqual(addresses);
    });
  },

  'treats the same id in two versions as two nodes'(store) {
    return watching(store, async (registry, watch) => {
      await registry.register(node('a', { version: 'v2' }));
      await registry.register(node('a', { version: 'v1' }));
      const nodes = await watch.until(({ length }) => length === 2, 'two nodes');
      expect(nodes.map(({ version }) => version)).toEqual(['v1', 'v2']);
    });
  },

  'a watch gets no list for changes of other services'(store) {
    return watching(store, async (registry, watch) => {
      await watch.ids();
      const next = watch.next();
      await using other = new WatchReader(registry, { service: 'Other' });
      await registry.register(node('x', { service: 'Other' }));
      await other.ids('x');
      expect(await isPending(next)).toBe(true);
      await registry.register(node('a'));
      expect((await within(next, 'the next list'))?.length).toBe(1);
    });
  },

  'a slow reader gets only the newest list'(store) {
    return watching(store, async (registry, slow) => {
      await using quick = new WatchReader(registry);
      await slow.ids();
      for (const id of ['a', 'b', 'c']) {
        await registry.register(node(id));
        await quick.until((nodes) => nodes.at(-1)?.id === id, id);
      }
      expect((await slow.next())?.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
      expect(await isPending(slow.next())).toBe(true);
    });
  },

  'a change that is undone before it is read causes no list'(store) {
    return watching(store, async (registry, slow) => {
      await using quick = new WatchReader(registry);
      await slow.ids();
      const registration = await registry.register(node('a'));
      await quick.ids('a');
      await registration[Symbol.asyncDispose]();
      await quick.ids();
      expect(await isPending(slow.next())).toBe(true);
    });
  },

  'aborting the signal ends a watch, before and after it begins'(store) {
    return watching(store, async (registry) => {
      const abort = new AbortController();
      const watch = new WatchReader(registry, QUERY, abort.signal);
      await watch.next();
      const next = watch.next();
      abort.abort();
      expect(await within(next, 'the end of the watch')).toBeUndefined();
      expect(await watch.next()).toBeUndefined();
      expect(await new WatchReader(registry, QUERY, abort.signal).next()).toBeUndefined();
    });
  },

  'return() ends a watch and its pending next()'(store) {
    return watching(store, async (_, watch) => {
      await watch.next();
      const next = watch.next();
      await watch[Symbol.asyncDispose]();
      expect(await within(next, 'the end of the watch')).toBeUndefined();
    });
  },
};
