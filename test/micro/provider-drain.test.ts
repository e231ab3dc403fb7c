/** A provider that leaves its registry and returns, and the weights of its entries. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Consumer,
  consume,
  type ProvideOptions,
  type Provider,
  type PublicationListener,
  provide,
  type Registry,
  type ServiceNode,
  weighted,
} from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import { Admin, contract, Introspection, implement, unary } from '../../src/rpc/index.js';
import { testRegistry } from '../../src/testing/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { REGISTRIES } from '../fixtures/registries.js';
import { connectOnce } from '../fixtures/rpc.js';
import { rejection } from '../fixtures/transports.js';
import { gate, until } from '../fixtures/waiting.js';

const Shop = contract('Shop', { pay: unary<void, string>(), wait: unary<void, string>() });
const Other = contract('Other', { pay: unary<void, string>() }, { version: 'v2' });

interface StartOptions extends Partial<ProvideOptions> {
  /** Opens before wait() answers. */
  readonly open?: Promise<void>;
}

function start(registry: Registry, id: string, options: StartOptions = {}): Promise<Provider> {
  const { open, ...others } = options;
  const wait = async (): Promise<string> => {
    await open;
    return id;
  };
  return provide({
    registry,
    id,
    address: 'tcp://127.0.0.1:0',
    services: [implement(Shop, { pay: () => id, wait }), implement(Other, { pay: () => id })],
    ...others,
  });
}

const ids = async (registry: Registry): Promise<string[]> => [
  ...new Set((await registry.list()).map(({ id }) => id)),
];

/** How many of 100 calls each provider answers. */
async function shares(consumer: Consumer): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let call = 0; call < 100; call++) {
    const id = await consumer.stub(Shop).pay();
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}

/** The registries that providers can publish their nodes in. */
const WITH_ENTRIES = REGISTRIES.filter(
  ({ exceptions }) => exceptions?.('drain', true) === undefined,
);

describe.each(WITH_ENTRIES)(
  'a provider in a registry of $name',
  ({ start: startServer, newStore }) => {
    let stop: (() => Promise<void>) | undefined;
    beforeAll(async () => {
      stop = await startServer?.();
    });
    afterAll(() => stop?.());

    it('leaves the lists, finishes its calls, and returns', async () => {
      const store = await newStore();
      try {
        const registry = store.open();
        const open = gate();
        await using a = await start(registry, 'a', { open: open.promise, admin: true });
        await using _b = await start(registry, 'b', { open: open.promise });
        await using consumer = consume({ registry: store.open() });
        await until(async () => (await ids(registry)).length === 2, 'both are published');
        await until(async () => Object.keys(await shares(consumer)).length === 2, 'calls to both');
        const waiting = Array.from({ length: 20 }, () => consumer.stub(Shop).wait());
        await until(
          () =>
            a.statistics().served.some(({ method, inFlight }) => method === 'wait' && inFlight > 0),
          'a call in flight at a',
        );
        await using operator = await connectOnce(a.address);
        const admin = operator.stub(Admin);
        const { state, entries } = await admin.drain(undefined, { timeout: 30_000 });
        expect([state, a.state, a.published]).toEqual(['draining', 'draining', []]);
        expect(entries.map(({ isPublished }) => isPublished)).toEqual([false, false]);
        expect(await ids(registry)).toEqual(['b']);
        await until(async () => (await shares(consumer)).a === undefined, 'calls to b only');
        open.open();
        expect(new Set(await Promise.all(waiting))).toEqual(new Set(['a', 'b']));
        // A client that stays is served.
        expect(await operator.stub(Shop).pay()).toBe('a');
        expect((await admin.undrain(undefined, { timeout: 30_000 })).state).toMatch(
          /published|waiting/,
        );
        await until(() => a.state === 'published', 'a is published again');
        await until(async () => (await ids(registry)).length === 2, 'a is in the list again');
        await until(async () => Object.keys(await shares(consumer)).length === 2, 'calls to both');
      } finally {
        await store.close();
      }
    });
  },
);

describe('drain()', () => {
  noLeaks();

  it('takes effect once, notifies once, and keeps changes for undrain()', async () => {
    await using registry = memory();
    const published: number[] = [];
    const onPublish = (nodes: readonly ServiceNode[]): void => void published.push(nodes.length);
    await using provider = await start(registry, 'a', { onPublish });
    await provider.drain();
    await provider.drain();
    expect(published).toEqual([2, 0]);
    expect(await registry.list()).toEqual([]);
    await provider.update({ weight: 7, metadata: { zone: 'z' } });
    await provider.setWeight(9, { service: 'Other' });
    expect(await registry.list()).toEqual([]);
    await provider.undrain();
    await provider.undrain();
    expect(published.at(-1)).toBe(2);
    expect(
      (await registry.list()).map(({ service, metadata }) => [service, { ...metadata }]),
    ).toEqual([
      ['Other', { zone: 'z', 'getty-weight': '9' }],
      ['Shop', { zone: 'z', 'getty-weight': '7' }],
    ]);
  });

  it('lets the provider before it with the same id return, as close() does', async () => {
    await using registry = memory();
    await using older = await start(registry, 'a');
    await using newer = await start(registry, 'a');
    await newer.drain();
    expect((await registry.list()).map(({ address }) => address)).toEqual(
      Array(2).fill(older.address),
    );
    await newer.undrain();
    expect((await registry.list()).map(({ address }) => address)).toEqual(
      Array(2).fill(newer.address),
    );
    // A drained provider does not return by itself.
    await older.drain();
    await newer.close();
    expect(await registry.list()).toEqual([]);
  });

  it('rejects while the registry cannot remove entries, and then tries again', async () => {
    const inner = memory();
    let isAway = true;
    const registry: Registry = {
      register: async (node) => {
        const registration = await inner.register(node);
        return {
          async [Symbol.asyncDispose]() {
            if (isAway && node.service === 'Shop') throw new Error('it is away');
            await registration[Symbol.asyncDispose]();
          },
        };
      },
      watch: (query, options) => inner.watch(query, options),
      list: () => inner.list(),
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
    await using provider = await start(registry, 'a', { admin: true });
    await using client = await connectOnce(provider.address);
    const error = await rejection(client.stub(Admin).drain());
    expect(error).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('could not deregister: it is away'),
    });
    expect(provider.published.map(({ service }) => service)).toEqual(['Shop']);
    expect(provider.state).toBe('draining');
    await expect(provider.drain()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
    isAway = false;
    await provider.drain();
    expect(await inner.list()).toEqual([]);
    expect(provider.published).toEqual([]);
  });

  it('during the first registration waits for it, so no entry is left', async () => {
    await using inner = memory();
    const [arrived, hold] = [gate(), gate()];
    const registry: Registry = {
      async register(node) {
        arrived.open();
        await hold.promise;
        return inner.register(node);
      },
      watch: (query, options) => inner.watch(query, options),
      list: () => inner.list(),
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
    const address = 'memory://starting-provider';
    const starting = start(registry, 'a', { admin: true, address });
    await arrived.promise;
    await using client = await connectOnce(address);
    const draining = client.stub(Admin).drain();
    hold.open();
    await using provider = await starting;
    await draining;
    expect([provider.state, await inner.list()]).toEqual(['draining', []]);
  });

  it('rejects while a registry that is away keeps the entries, and resolves when they are removed', async () => {
    await using registry = testRegistry();
    const published: number[] = [];
    const onPublish = (nodes: readonly ServiceNode[]): void => void published.push(nodes.length);
    await using provider = await start(registry, 'a', {
      admin: true,
      introspection: true,
      onPublish,
    });
    await using client = await connectOnce(provider.address);
    registry.down();
    for (let attempt = 0; attempt < 2; attempt++)
      expect(await rejection(client.stub(Admin).drain())).toMatchObject({
        code: 'UNAVAILABLE',
        message: expect.stringMatching(
          /could not deregister: .*not removed its entries yet \(2\): the test registry is down/,
        ),
      });
    expect([provider.state, provider.published.length]).toEqual(['draining', 2]);
    expect((await client.stub(Introspection).status()).provider).toMatchObject({
      state: 'draining',
      reason: 'the test registry is down',
      entries: [{ isPublished: true }, { isPublished: true }],
    });
    registry.up();
    expect(provider.published).toEqual([]);
    await provider.drain();
    await provider.drain();
    expect(published).toEqual([2, 2, 2, 0]);
    expect((await client.stub(Introspection).status()).provider).not.toHaveProperty('reason');
    registry.down();
    await provider.undrain();
    expect(await rejection(provider.drain())).toMatchObject({ code: 'REGISTRY_FAILED' });
    // The entries were never published.
    expect(provider.published).toEqual([]);
    await provider.undrain();
    registry.up();
    expect(provider.state).toBe('published');
    registry.down();
    // The end of a provider does not depend on its registry.
    await provider.close();
  });

  it('stays drained if undrain() cannot register', async () => {
    const inner = memory();
    let isAway = false;
    const registry: Registry = {
      register: (node) => {
        if (isAway) throw new Error('it is away');
        return inner.register(node);
      },
      watch: (query, options) => inner.watch(query, options),
      list: () => inner.list(),
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
    await using provider = await start(registry, 'a');
    await provider.drain();
    isAway = true;
    await expect(provider.undrain()).rejects.toThrow('it is away');
    expect(provider.state).toBe('draining');
    isAway = false;
    await provider.undrain();
    expect([provider.state, (await inner.list()).length]).toEqual(['published', 2]);
  });

  it('publishes nothing if undrain() can register some entries only', async () => {
    const inner = memory();
    let isRefused = false;
    const registry: Registry = {
      register: (node) => {
        if (isRefused && node.service === 'Other') throw new Error('it is refused');
        return inner.register(node);
      },
      watch: (query, options) => inner.watch(query, options),
      list: () => inner.list(),
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
    await using older = await start(registry, 'a');
    const published: number[] = [];
    const onPublish = (nodes: readonly ServiceNode[]): void => void published.push(nodes.length);
    await using provider = await start(registry, 'b', { onPublish });
    await provider.drain();
    isRefused = true;
    await expect(provider.undrain()).rejects.toThrow('it is refused');
    expect([provider.state, provider.published]).toEqual(['draining', []]);
    expect(await ids(registry)).toEqual(['a']);
    expect(published).not.toContain(1);
    isRefused = false;
    await provider.undrain();
    expect([provider.state, provider.published.length]).toEqual(['published', 2]);
    expect(older.published).toHaveLength(2);
  });

  it('runs after an update, and before the end', async () => {
    await using registry = memory();
    await using provider = await start(registry, 'a');
    const done = Promise.all([
      provider.update({ weight: 1 }),
      provider.drain(),
      provider.undrain(),
      provider.setWeight(3),
    ]);
    await done;
    expect(provider.published.map(({ metadata }) => metadata['getty-weight'])).toEqual(['3', '3']);
    await provider.close();
    expect(provider.state).toBe('draining');
    for (const change of [provider.drain(), provider.undrain(), provider.setWeight(1)])
      await expect(change).rejects.toMatchObject({ code: 'ENDPOINT_CLOSED' });
  });
});

describe('setWeight()', () => {
  noLeaks();

  it('changes the distribution of calls in consumers, for all or for one service', async () => {
    await using registry = memory();
    await using a = await start(registry, 'a', { admin: true });
    await using _b = await start(registry, 'b');
    await using consumer = consume({ registry, balancer: weighted() });
    await until(async () => Object.keys(await shares(consumer)).length === 2, 'calls to both');
    await using operator = await connectOnce(a.address);
    const admin = operator.stub(Admin);
    const { entries } = await admin.weight({ weight: 0, service: 'Shop' });
    expect(entries.map(({ service, weight }) => [service, weight])).toEqual([
      ['Shop', 0],
      ['Other', 100],
    ]);
    await until(async () => (await shares(consumer)).a === undefined, 'calls to b only');
    await admin.weight({ weight: 300, service: 'Shop', version: '', codec: 'json' });
    await until(async () => ((await shares(consumer)).a ?? 0) > 60, 'most calls to a');
    await admin.weight({ weight: 50 });
    expect(a.nodes.map(({ metadata }) => metadata['getty-weight'])).toEqual(['50', '50']);
  });

  it('is replaced by an update with a weight, and not by another update', async () => {
    await using registry = memory();
    await using provider = await start(registry, 'a', { weight: 10 });
    const weights = (): unknown[] => provider.nodes.map(({ metadata }) => metadata['getty-weight']);
    await provider.setWeight(5, { service: 'Other', version: 'v2' });
    await provider.update({ meta: 'm' });
    expect(weights()).toEqual(['10', '5']);
    await provider.update({ weight: 20 });
    expect(weights()).toEqual(['20', '20']);
  });

  it.each<[unknown, unknown]>([
    [-1, undefined],
    [1.5, undefined],
    ['5', undefined],
    [undefined, undefined],
    [1_000_001, undefined],
    [1, null],
    [1, {}],
    [1, { service: 'Shop', version: 'v9' }],
    [1, { service: 'Shop', codec: 'protobuf' }],
    [1, { service: 'Shop', versoin: 'v1' }],
  ])('throws BAD_OPTION for the weight %j of %j', async (weight, entries) => {
    await using registry = memory();
    await using provider = await start(registry, 'a');
    const change = provider.setWeight(weight as number, entries as never);
    await expect(change).rejects.toMatchObject({ code: 'BAD_OPTION' });
    expect(provider.nodes[0]?.metadata).toEqual({});
  });
});

describe('the status of a provider', () => {
  noLeaks();

  it('has its entries, and the reason why it waits', async () => {
    const inner = memory();
    const listeners: PublicationListener[] = [];
    let failure: Error | undefined;
    const registry: Registry = {
      async register(node, onPublished) {
        onPublished?.(false);
        if (onPublished !== undefined) listeners.push(onPublished);
        return inner.register(node);
      },
      watch: (query, options) => inner.watch(query, options),
      list: () => inner.list(),
      get failure() {
        if (failure?.message === 'thrown') throw failure;
        return failure;
      },
      [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    };
    await using provider = await start(registry, 'a', {
      introspection: true,
      group: 'bj',
      weight: 7,
    });
    await using client = await connectOnce(provider.address);
    const status = async () => (await client.stub(Introspection).status()).provider;
    expect(await status()).toEqual({
      state: 'waiting',
      reason: expect.stringContaining('has not confirmed 2 entries'),
      id: 'a',
      total: 2,
      entries: ['Shop', 'Other'].map((service) => ({
        service,
        version: service === 'Shop' ? '' : 'v2',
        group: 'bj',
        codec: 'json',
        address: provider.address,
        weight: 7,
        isPublished: false,
      })),
    });
    failure = new Error('x'.repeat(10_000));
    expect((await status())?.reason).toHaveLength(500);
    failure = new Error('thrown');
    expect((await status())?.reason).toBe('thrown');
    for (const notify of listeners) notify(true);
    expect(await status()).toMatchObject({
      state: 'published',
      reason: 'thrown',
      entries: [{ isPublished: true }, {}],
    });
    failure = undefined;
    expect(await status()).not.toHaveProperty('reason');
  });

  it('has at most 1,000 entries', async () => {
    await using registry = memory();
    const services = Array.from({ length: 1_100 }, (_, index) =>
      implement(contract(`Service${index}-${'x'.repeat(100)}`, { pay: unary<void, string>() }), {
        pay: () => '',
      }),
    );
    await using provider = await start(registry, 'a', { introspection: true, services });
    await using client = await connectOnce(provider.address);
    const { provider: status } = await client.stub(Introspection).status();
    expect([status?.total, status?.entries.length]).toEqual([1_100, 1_000]);
  });
});
