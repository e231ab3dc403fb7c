/** The behavior of the registrations of every registry, and of disposed registries. */
import { expect } from 'vitest';
import { type Provider, provide } from '../../src/micro/index.js';
import { contract, implement, unary } from '../../src/rpc/index.js';
import { node, RecordingLogger, type RegistryStore, WatchReader } from '../fixtures/registries.js';
import { until, within } from '../fixtures/waiting.js';
import { watching } from './watching.js';

export const REGISTRATION_BEHAVIORS: Readonly<
  Record<string, (store: RegistryStore) => Promise<void>>
> = {
  'registering the same id again updates the node without a gap'(store) {
    return watching(store, async (registry, watch) => {
      for (let weight = 0; weight < 20; weight++) {
        await registry.register(node('a', { metadata: { weight: `${weight}` } }));
        await watch.until(([first]) => first?.metadata.weight === `${weight}`, `weight ${weight}`);
      }
      expect(new Set(watch.seen.map((ids) => ids.join()))).toEqual(new Set(['a']));
    });
  },

  'a provider updates its metadata without a gap, and closes'(store) {
    return watching(store, async (registry, watch) => {
      const Test = contract('TestService', { test: unary<string, string>() }, { version: 'v1.0' });
      const provider = await provide({
        registry,
        id: 'a',
        address: 'tcp://127.0.0.1:0',
        services: [implement(Test, { test: (text) => text })],
      });
      await watch.ids('a');
      for (let weight = 0; weight < 10; weight++) {
        await provider.update({ weight });
        await watch.until(
          ([first]) => first?.metadata['getty-weight'] === `${weight}`,
          `weight ${weight}`,
        );
      }
      expect(new Set(watch.seen.map((ids) => ids.join()))).toEqual(new Set(['a']));
      await provider.close();
      await watch.ids();
    });
  },

  'the older of two providers with one id is published again when the newer one closes'(store) {
    return watching(store, async (registry, watch) => {
      const Test = contract('TestService', { test: unary<string, string>() }, { version: 'v1.0' });
      const start = (): Promise<Provider> =>
        provide({
          registry,
          id: 'a',
          address: 'tcp://127.0.0.1:0',
          services: [implement(Test, { test: (text) => text })],
        });
      const isPublished = async (provider: Provider): Promise<void> => {
        await watch.until(([only]) => only?.address === provider.nodes[0]?.address, 'its address');
        await until(() => provider.published.length === 1, 'its node is published');
      };
      const older = await start();
      await isPublished(older);
      const newer = await start();
      await isPublished(newer);
      expect(older.published).toEqual([]);
      await newer.close();
      await isPublished(older);
      expect(newer.published).toEqual([]);
      await older.close();
      await watch.ids();
      expect(new Set(watch.seen.map((ids) => ids.join()))).toEqual(new Set(['', 'a']));
      expect(watch.seen.slice(1, -1).map((ids) => ids.join())).not.toContain('');
    });
  },

  'a registration under the id of another one replaces its entry, and the other one does not remove it'(
    store,
  ) {
    return watching(store, async (registry, watch) => {
      const old = await registry.register(node('a', { address: 'tcp://127.0.0.1:1' }));
      await watch.ids('a');
      await store.open().register(node('a', { address: 'tcp://127.0.0.1:2' }));
      await watch.until(([first]) => first?.address === 'tcp://127.0.0.1:2', 'the new address');
      await old[Symbol.asyncDispose]();
      await using later = new WatchReader(store.open());
      expect((await later.next())?.map(({ address }) => address)).toEqual(['tcp://127.0.0.1:2']);
    });
  },

  'the entry of the older of two registrations of one node is published again when the newer one ends'(
    store,
  ) {
    if (store.restoresSlowly) return Promise.resolve();
    return watching(store, async (registry, watch) => {
      await registry.register(node('a', { address: 'tcp://127.0.0.1:1' }));
      await registry.register(node('a', { address: 'tcp://127.0.0.1:2' }));
      const newer = await store.open().register(node('a', { address: 'tcp://127.0.0.1:3' }));
      await watch.until(([first]) => first?.address === 'tcp://127.0.0.1:3', 'the newer one');
      await newer[Symbol.asyncDispose]();
      await watch.until(([first]) => first?.address === 'tcp://127.0.0.1:2', 'the older one');
    });
  },

  'only the newest registration removes an updated entry'(store) {
    return watching(store, async (registry, watch) => {
      const first = await registry.register(node('a'));
      const second = await registry.register(node('a', { metadata: { weight: '2' } }));
      await first[Symbol.asyncDispose]();
      await watch.until(([only]) => only?.metadata.weight === '2', 'weight 2');
      await second[Symbol.asyncDispose]();
      await watch.ids();
      await second[Symbol.asyncDispose]();
    });
  },

  'disposing a registry ends its watches and removes only its entries'(store) {
    return watching(store, async (registry, watch) => {
      const disposed = store.open();
      await using ending = new WatchReader(disposed);
      await disposed.register(node('a'));
      await disposed.register(node('b'));
      await registry.register(node('c'));
      await ending.ids('a', 'b', 'c');
      await watch.ids('a', 'b', 'c');
      const next = ending.next();
      await disposed[Symbol.asyncDispose]();
      await disposed[Symbol.asyncDispose]();
      expect(await within(next, 'the end of the watch')).toBeUndefined();
      await watch.ids('c');
      expect(await new WatchReader(disposed).next()).toBeUndefined();
      await expect(disposed.register(node('a'))).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    });
  },

  'a registration that is pending during the disposal leaves no entry'(store) {
    return watching(store, async (_, watch) => {
      const disposed = store.open();
      await Promise.allSettled([disposed.register(node('a')), disposed[Symbol.asyncDispose]()]);
      expect((await watch.next())?.length).toBe(0);
    });
  },

  'rejects invalid nodes and queries'(store) {
    return watching(store, async (registry) => {
      for (const id of ['', 'a/b', '.', '..', 'a\nb', 'a\0', '\ud800']) {
        await expect(registry.register(node(id)), JSON.stringify(id)).rejects.toMatchObject({
          code: 'BAD_OPTION',
        });
      }
      await expect(registry.register(node('a', { address: '127.0.0.1:80' }))).rejects.toMatchObject(
        { code: 'BAD_OPTION' },
      );
      expect(() => registry.watch({ service: '' })).toThrowError(
        expect.objectContaining({ code: 'BAD_OPTION' }),
      );
    });
  },

  'skips invalid entries with one log line each'(store) {
    if (store.put === undefined) return Promise.resolve();
    const { put } = store;
    return watching(store, async (registry) => {
      const attributes = 'protocol%3Djson%26role%3DSRT_Provider%26service%3DTestService';
      const value = (id: string, changes: object = {}): string =>
        JSON.stringify({
          Attr: { Service: 'TestService', Protocol: 'json', Role: 1 },
          Nodes: [{ ID: id, Address: 'h', Port: 1, ...changes }],
        });
      await put(`${attributes}/no-json`, '{');
      await put(`${attributes}/wrong-type`, value('wrong-type', { Port: '1' }));
      await put(`${attributes}/contradiction`, value('another-id'));
      await put(`${attributes}/huge`, value('huge', { Metadata: { a: 'x'.repeat(1024 * 1024) } }));
      await put('foreign/path', value('path'));
      await put(`${attributes}/good`, value('good'));
      await put(`${attributes.replace('Provider', 'Consumer')}/consumer`, 'not read');
      const log = new RecordingLogger();
      await using watch = new WatchReader(store.open(log));
      await watch.ids('good');
      for (const id of ['x', 'y', 'z']) {
        await registry.register(node(id));
        await watch.until((nodes) => nodes.at(-1)?.id === id, id);
      }
      const skipped = ['no-json', 'wrong-type', 'contradiction', 'huge', 'foreign'];
      for (const name of skipped) expect([name, log.linesWith(name).length]).toEqual([name, 1]);
      expect(log.lines.length).toBe(skipped.length);
    });
  },
};
