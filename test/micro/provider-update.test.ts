/** A provider that says something else of itself while it is published. */
import { describe, expect, it } from 'vitest';
import {
  consume,
  type Provider,
  provide,
  type Registry,
  type ServiceNode,
  weighted,
} from '../../src/micro/index.js';
import { memory } from '../../src/registries/memory.js';
import { contract, implement, unary } from '../../src/rpc/index.js';
import { noLeaks } from '../fixtures/leaks.js';
import { Watching } from '../fixtures/registries.js';
import { gate, turns } from '../fixtures/waiting.js';

const Greeter = contract('Greeter', { hello: unary<string, string>() });
const Other = contract('Other', { hello: unary<string, string>() });

function start(registry: Registry, id: string, options: object = {}): Promise<Provider> {
  const services = [implement(Greeter, { hello: () => id }), implement(Other, { hello: () => id })];
  return provide({ registry, id, address: 'tcp://127.0.0.1:0', services, ...options });
}

/** A memory registry that refuses, or waits, when a test says so. */
function moody(): {
  registry: Registry;
  mood: { refuse(node: ServiceNode): boolean; wait: Promise<void> | undefined };
} {
  const inner = memory();
  const mood = {
    refuse: (_: ServiceNode): boolean => false,
    wait: undefined as Promise<void> | undefined,
  };
  const registry: Registry = {
    async register(node) {
      await mood.wait;
      if (mood.refuse(node)) throw new Error('refused');
      return inner.register(node);
    },
    watch: (query, options) => inner.watch(query, options),
    list: () => inner.list(),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
  return { registry, mood };
}

describe('update', () => {
  noLeaks();

  it('changes weight, metadata and meta of every entry; what is not given stays', async () => {
    await using registry = memory();
    await using provider = await start(registry, 'a', { meta: 'm', metadata: { zone: 'z1' } });
    const seen = (): object[] => provider.nodes.map(({ metadata }) => ({ ...metadata }));
    expect(seen()).toEqual(Array(2).fill({ zone: 'z1', 'getty-micro-meta-key': 'm' }));
    await provider.update({ weight: 5 });
    expect(seen()).toEqual(
      Array(2).fill({ zone: 'z1', 'getty-micro-meta-key': 'm', 'getty-weight': '5' }),
    );
    await provider.update({ metadata: { rack: 'r' } });
    await provider.update({ meta: 'n' });
    expect(seen()).toEqual(
      Array(2).fill({ rack: 'r', 'getty-micro-meta-key': 'n', 'getty-weight': '5' }),
    );
    for (const service of ['Greeter', 'Other']) {
      await using watch = new Watching(registry, { service });
      expect((await watch.next())?.map(({ metadata }) => ({ ...metadata }))).toEqual([seen()[0]]);
    }
  });

  it('drains a node: with weight 0 it gets no calls, and gets them again with another', async () => {
    await using registry = memory();
    await using a = await start(registry, 'a', { weight: 100 });
    await using _b = await start(registry, 'b');
    await using consumer = consume({ registry, balancer: weighted() });
    const stub = consumer.stub(Greeter);
    const ask = async (): Promise<Set<string>> =>
      new Set(await Promise.all(Array.from({ length: 60 }, () => stub.hello('x'))));
    const said = async (weight: number): Promise<void> => {
      const told = gate();
      const stop = consumer.notify(Greeter, ({ updated }) => updated.length > 0 && told.open());
      await a.update({ weight });
      await told.promise;
      stop();
    };
    while ((await ask()).size < 2) await turns();
    await said(0);
    expect([...(await ask())]).toEqual(['b']);
    await said(1_000_000);
    expect((await ask()).has('a')).toBe(true);
  });

  it('that is refused leaves what was there, in all entries', async () => {
    const { registry, mood } = moody();
    await using _registry = registry;
    const provider = await start(registry, 'a', { weight: 1 });
    mood.refuse = ({ service, metadata }) =>
      service === 'Other' && metadata['getty-weight'] === '2';
    await expect(provider.update({ weight: 2 })).rejects.toThrow('refused');
    await using greeter = new Watching(registry, { service: 'Greeter' });
    await using other = new Watching(registry, { service: 'Other' });
    for (const watch of [greeter, other])
      expect((await watch.next())?.[0]?.metadata['getty-weight']).toBe('1');
    expect(provider.nodes[0]?.metadata['getty-weight']).toBe('1');
    await provider.update({ weight: 3 });
    expect((await greeter.next())?.[0]?.metadata['getty-weight']).toBe('3');
    await provider.close();
    for (const watch of [greeter, other]) await watch.ids();
  });

  it('updates are done in their order, and close() waits for the one under way', async () => {
    const { registry, mood } = moody();
    await using _registry = registry;
    const provider = await start(registry, 'a');
    const held = gate();
    mood.wait = held.promise;
    const updates = [1, 2].map((weight) => provider.update({ weight }));
    const late = expect(updates[1]).rejects.toMatchObject({ code: 'ENDPOINT_CLOSED' });
    await new Promise((resolve) => setImmediate(resolve));
    const closed = provider.close();
    held.open();
    await updates[0];
    await late;
    await closed;
    await using watch = new Watching(registry, { service: 'Greeter' });
    expect(await watch.next()).toEqual([]);
    await expect(provider.update({ weight: 3 })).rejects.toMatchObject({ code: 'ENDPOINT_CLOSED' });
  });

  it.each([
    { weight: -1 },
    { weight: 1.5 },
    { weight: 1_000_001 },
    { weight: '5' as never },
    { metadata: { x: 1 as never } },
  ])('refuses %j', async (changes) => {
    await using registry = memory();
    await expect(start(registry, 'a', changes)).rejects.toMatchObject({ code: 'BAD_OPTION' });
    await using provider = await start(registry, 'a');
    await expect(provider.update(changes)).rejects.toMatchObject({ code: 'BAD_OPTION' });
    expect(provider.nodes[0]?.metadata).toEqual({});
  });
});
