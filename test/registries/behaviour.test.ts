/** What every registry does: the table runs once per registry. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { provide } from '../../src/micro/index.js';
import type { Registry } from '../../src/micro/types.js';
import { contract, implement, unary } from '../../src/rpc/index.js';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { noLeaks } from '../fixtures/leaks.js';
import {
  isPending,
  Log,
  node,
  type Place,
  QUERY,
  REGISTRIES,
  Watching,
} from '../fixtures/registries.js';
import { noTimersLeft } from '../fixtures/timers.js';
import { within } from '../fixtures/waiting.js';

const BEHAVIOURS: Readonly<Record<string, (place: Place) => Promise<void>>> = {
  'a watch begins with the present list, ordered by id'(place) {
    return watching(place, async (registry, watch) => {
      await registry.register(node('b'));
      await registry.register(node('a'));
      expect((await watch.next())?.map(({ id }) => id)).toEqual(['a', 'b']);
    });
  },

  'a watch of an empty registry begins with an empty list'(place) {
    return watching(place, async (_, watch) => expect(await watch.next()).toEqual([]));
  },

  'lists a node exactly as it was published'(place) {
    const published = node('srv-127.0.0.1:1-json', {
      service: 'a b/c&d=e!~*',
      group: '组',
      protocol: 'protobuf',
      address: 'udp://[::1]:9',
      metadata: { 'getty-micro-meta-key': '{"a":1}', ['__proto__']: 'x' },
    });
    return watching(
      place,
      async (registry, watch) => {
        await registry.register(published);
        expect(await watch.until((nodes) => nodes.length > 0, 'the node')).toEqual([published]);
      },
      { service: published.service },
    );
  },

  'the first list of a watch has what was registered before it began, and not what was removed'(
    place,
  ) {
    return watching(place, async (registry, watch) => {
      const other = place.open();
      await using wide = new Watching(other);
      await watch.next();
      await wide.next();
      for (let round = 0; round < 15; round++) {
        const group = `g${round}`;
        const registration = await registry.register(node('a', { group }));
        for (const reader of [registry, other]) {
          await using fresh = new Watching(reader, { ...QUERY, group });
          expect([round, (await fresh.next())?.length]).toEqual([round, 1]);
        }
        await registration[Symbol.asyncDispose]();
        for (const reader of [registry, other]) {
          await using fresh = new Watching(reader, { ...QUERY, group });
          expect([round, (await fresh.next())?.length]).toEqual([round, 0]);
        }
      }
    });
  },

  'every watch gets additions and removals'(place) {
    return watching(place, async (registry, watch) => {
      await using other = new Watching(place.open());
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

  'registering the same id again updates the node without a gap'(place) {
    return watching(place, async (registry, watch) => {
      for (let weight = 0; weight < 20; weight++) {
        await registry.register(node('a', { metadata: { weight: `${weight}` } }));
        await watch.until(([first]) => first?.metadata.weight === `${weight}`, `weight ${weight}`);
      }
      expect(new Set(watch.seen.map((ids) => ids.join()))).toEqual(new Set(['a']));
    });
  },

  'a provider updates its metadata without a gap, and leaves'(place) {
    return watching(place, async (registry, watch) => {
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

  'who restarts under its old id replaces the stale entry, and the old life does not remove the new one'(
    place,
  ) {
    return watching(place, async (registry, watch) => {
      const old = await registry.register(node('a', { address: 'tcp://127.0.0.1:1' }));
      await watch.ids('a');
      await place.open().register(node('a', { address: 'tcp://127.0.0.1:2' }));
      await watch.until(([first]) => first?.address === 'tcp://127.0.0.1:2', 'the new address');
      await old[Symbol.asyncDispose]();
      await using later = new Watching(place.open());
      expect((await later.next())?.map(({ address }) => address)).toEqual(['tcp://127.0.0.1:2']);
    });
  },

  'when the newer of two registries that publish one node leaves, the entry of the older one is back'(
    place,
  ) {
    if (place.isSlowToReturn) return Promise.resolve();
    return watching(place, async (registry, watch) => {
      await registry.register(node('a', { address: 'tcp://127.0.0.1:1' }));
      await registry.register(node('a', { address: 'tcp://127.0.0.1:2' }));
      const newer = await place.open().register(node('a', { address: 'tcp://127.0.0.1:3' }));
      await watch.until(([first]) => first?.address === 'tcp://127.0.0.1:3', 'the newer one');
      await newer[Symbol.asyncDispose]();
      await watch.until(([first]) => first?.address === 'tcp://127.0.0.1:2', 'the older one');
    });
  },

  'only the newest registration removes an updated entry'(place) {
    return watching(place, async (registry, watch) => {
      const first = await registry.register(node('a'));
      const second = await registry.register(node('a', { metadata: { weight: '2' } }));
      await first[Symbol.asyncDispose]();
      await watch.until(([only]) => only?.metadata.weight === '2', 'weight 2');
      await second[Symbol.asyncDispose]();
      await watch.ids();
      await second[Symbol.asyncDispose]();
    });
  },

  'queries match the service, and the group, version and protocol if given'(place) {
    return watching(place, async (registry) => {
      await registry.register(node('a'));
      await registry.register(node('b', { group: '' }));
      await registry.register(node('c', { version: 'v2' }));
      await registry.register(node('d', { protocol: 'protobuf' }));
      await registry.register(node('e', { service: 'Other' }));
      await registry.register(node('a', { service: 'TestService2' }));
      const found = async (query: object): Promise<string | undefined> => {
        await using watch = new Watching(registry, { ...QUERY, ...query });
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
      expect(await found({ service: 'Nobody' })).toBe('');
    });
  },

  'list() returns every node of every service, ordered by id, and no other entries'(place) {
    return watching(place, async (registry) => {
      expect(await registry.list()).toEqual([]);
      const nodes = [
        node('a', { service: 'Other' }),
        node('b', { group: '', protocol: 'protobuf' }),
        node('c', { version: 'v2' }),
      ];
      for (const one of [...nodes].reverse()) await registry.register(one);
      const leaving = await place.open().register(node('d'));
      await place.put?.('foreign/path', 'x');
      await place.put?.(
        'protocol%3Djson%26role%3DSRT_Provider%26service%3DTestService/no-json',
        '{',
      );
      await place.put?.(
        'protocol%3Djson%26role%3DSRT_Consumer%26service%3DTestService/consumer',
        '{}',
      );
      expect(await place.open().list()).toEqual([...nodes, node('d')]);
      await leaving[Symbol.asyncDispose]();
      expect(await registry.list()).toEqual(nodes);
      // There is also a watch, which is for one service only.
      await using watch = new Watching(registry, { service: 'Other' });
      await watch.ids('a');
      expect(await registry.list()).toEqual(nodes);
      const gone = place.open();
      await gone[Symbol.asyncDispose]();
      await expect(gone.list()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    });
  },

  'lists addresses of every kind as they were published'(place) {
    return watching(place, async (registry, watch) => {
      const addresses = [
        'tcp://[2001:db8::1]:80',
        'tcp://[::ffff:127.0.0.1]:1',
        'tls://example.org:443',
        'udp://127.0.0.1:53',
        'unix:///run/service/ünïcode.sock',
        'memory://name',
        'ws://example.org:80/rpc?room=1',
        'ws://[::1]:8080/a/b%20c',
        'wss://example.org:443/',
      ];
      for (const [i, address] of addresses.entries())
        await registry.register(node(`n${i}`, { address }));
      const nodes = await watch.until(({ length }) => length === addresses.length, 'all of them');
      expect(nodes.map(({ address }) => address)).toEqual(addresses);
    });
  },

  'treats the same id in two versions as two nodes'(place) {
    return watching(place, async (registry, watch) => {
      await registry.register(node('a', { version: 'v2' }));
      await registry.register(node('a', { version: 'v1' }));
      const nodes = await watch.until(({ length }) => length === 2, 'two nodes');
      expect(nodes.map(({ version }) => version)).toEqual(['v1', 'v2']);
    });
  },

  'a watch gets no list for changes of other services'(place) {
    return watching(place, async (registry, watch) => {
      await watch.ids();
      const next = watch.next();
      await using other = new Watching(registry, { service: 'Other' });
      await registry.register(node('x', { service: 'Other' }));
      await other.ids('x');
      expect(await isPending(next)).toBe(true);
      await registry.register(node('a'));
      expect((await within(next, 'the next list'))?.length).toBe(1);
    });
  },

  'a slow reader gets only the newest list'(place) {
    return watching(place, async (registry, slow) => {
      await using quick = new Watching(registry);
      await slow.ids();
      for (const id of ['a', 'b', 'c']) {
        await registry.register(node(id));
        await quick.until((nodes) => nodes.at(-1)?.id === id, id);
      }
      expect((await slow.next())?.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
      expect(await isPending(slow.next())).toBe(true);
    });
  },

  'a change that is undone before it is read causes no list'(place) {
    return watching(place, async (registry, slow) => {
      await using quick = new Watching(registry);
      await slow.ids();
      const registration = await registry.register(node('a'));
      await quick.ids('a');
      await registration[Symbol.asyncDispose]();
      await quick.ids();
      expect(await isPending(slow.next())).toBe(true);
    });
  },

  'aborting the signal ends a watch, before and after it begins'(place) {
    return watching(place, async (registry) => {
      const abort = new AbortController();
      const watch = new Watching(registry, QUERY, abort.signal);
      await watch.next();
      const next = watch.next();
      abort.abort();
      expect(await within(next, 'the end')).toBeUndefined();
      expect(await watch.next()).toBeUndefined();
      expect(await new Watching(registry, QUERY, abort.signal).next()).toBeUndefined();
    });
  },

  'return() ends a watch while next() waits'(place) {
    return watching(place, async (_, watch) => {
      await watch.next();
      const next = watch.next();
      await watch[Symbol.asyncDispose]();
      expect(await within(next, 'the end')).toBeUndefined();
    });
  },

  'disposing a registry ends its watches and removes only its entries'(place) {
    return watching(place, async (registry, watch) => {
      const gone = place.open();
      await using ending = new Watching(gone);
      await gone.register(node('a'));
      await gone.register(node('b'));
      await registry.register(node('c'));
      await ending.ids('a', 'b', 'c');
      await watch.ids('a', 'b', 'c');
      const next = ending.next();
      await gone[Symbol.asyncDispose]();
      await gone[Symbol.asyncDispose]();
      expect(await within(next, 'the end')).toBeUndefined();
      await watch.ids('c');
      expect(await new Watching(gone).next()).toBeUndefined();
      await expect(gone.register(node('a'))).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    });
  },

  'a registration that is under way during the disposal leaves no entry'(place) {
    return watching(place, async (_, watch) => {
      const gone = place.open();
      await Promise.allSettled([gone.register(node('a')), gone[Symbol.asyncDispose]()]);
      expect((await watch.next())?.length).toBe(0);
    });
  },

  'rejects invalid nodes and queries'(place) {
    return watching(place, async (registry) => {
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

  'skips invalid entries with one log line each'(place) {
    if (place.put === undefined) return Promise.resolve();
    const { put } = place;
    return watching(place, async (registry) => {
      const attributes = 'protocol%3Djson%26role%3DSRT_Provider%26service%3DTestService';
      const value = (id: string, changes: object = {}): string =>
        JSON.stringify({
          Attr: { Service: 'TestService', Protocol: 'json', Role: 1 },
          Nodes: [{ ID: id, Address: 'h', Port: 1, ...changes }],
        });
      await put(`${attributes}/no-json`, '{');
      await put(`${attributes}/wrong-type`, value('wrong-type', { Port: '1' }));
      await put(`${attributes}/contradiction`, value('somebody-else'));
      await put(`${attributes}/huge`, value('huge', { Metadata: { a: 'x'.repeat(1024 * 1024) } }));
      await put('foreign/path', value('path'));
      await put(`${attributes}/good`, value('good'));
      await put(`${attributes.replace('Provider', 'Consumer')}/consumer`, 'not looked at');
      const log = new Log();
      await using watch = new Watching(place.open(log));
      await watch.ids('good');
      for (const id of ['x', 'y', 'z']) {
        await registry.register(node(id));
        await watch.until((nodes) => nodes.at(-1)?.id === id, id);
      }
      const passedOver = ['no-json', 'wrong-type', 'contradiction', 'huge', 'foreign'];
      for (const name of passedOver) expect([name, log.having(name).length]).toEqual([name, 1]);
      expect(log.lines.length).toBe(passedOver.length);
    });
  },
};

/** A registry and a watch on it for the length of a test. */
async function watching(
  place: Place,
  test: (registry: Registry, watch: Watching) => Promise<void>,
  query = QUERY,
): Promise<void> {
  const registry = place.open();
  await using watch = new Watching(registry, query);
  await test(registry, watch);
}

describe.each(REGISTRIES)('$name', (row) => {
  noLeaks();
  noTimersLeft();
  let place: Place;
  let end: (() => Promise<void>) | undefined;
  beforeAll(async () => {
    end = await row.begin?.();
  }, INSTALL_TIMEOUT);
  afterAll(() => end?.());
  beforeEach(async () => {
    place = await row.place();
  });
  afterEach(() => place.close());

  it.each(Object.keys(BEHAVIOURS))('%s', (name) => BEHAVIOURS[name]?.(place));
});
