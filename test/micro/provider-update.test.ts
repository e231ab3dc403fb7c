/** Provider.update(): changes to published metadata. */
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
import { WatchReader } from '../fixtures/registries.js';
import { gate, turns } from '../fixtures/waiting.js';

const Greeter = contract('Greeter', { hello: unary<string, string>() });
const Other = contract('Other', { hello: unary<string, string>() });

function start(registry: Registry, id: string, options: object = {}): Promise<Provider> {
  const services = [implement(Greeter, { hello: () => id }), implement(Other, { hello: () => id })];
  return provide({ registry, id, address: 'tcp://127.0.0.1:0', services, ...options });
}

/** A memory registry whose register() rejects or waits when a test sets so. */
function controlledRegistry(): {
  registry: Registry;
  control: { rejects(node: ServiceNode): boolean; wait: Promise<void> | undefined };
} {
  const inner = memory();
  const control = {
    rejects: (_: ServiceNode): boolean => false,
    wait: undefined as Promise<void> | undefined,
  };
  const registry: Registry = {
    async register(node) {
      await control.wait;
      if (control.rejects(node)) throw new Error('refused');
      return inner.register(node);
    },
    watch: (query, options) => inner.watch(query, options),
    list: () => inner.list(),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
  return { registry, control };
}

describe('update', () => {
  noLeaks();

  it('changes the given fields of every entry, and keeps the others', async () => {
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
      await using watch = new WatchReader(registry, { service });
      expect((await watch.next())?.map(({ metadata }) => ({ ...metadata }))).toEqual([seen()[0]]);
    }
  });

  it('stops calls to a node with weight 0, and starts them again with another weight', async () => {
    await using registry = memory();
    await using a = await start(registry, 'a', { weight: 100 });
    await using _b = await start(registry, 'b');
    await using consumer = consume({ registry, balancer: weighted() });
    const stub = consumer.stub(Greeter);
    const answeringIds = async (): Promise<Set<string>> =>
      new Set(await Promise.all(Array.from({ length: 60 }, () => stub.hello('x'))));
    const setWeight = async (weight: number): Promise<void> => {
      const updated = gate();
      const stop = consumer.notify(
        Greeter,
        (change) => change.updated.length > 0 && updated.open(),
      );
      await a.update({ weight });
      await updated.promise;
      stop();
    };
    while ((await answeringIds()).size < 2) await turns();
    await setWeight(0);
    expect([...(await answeringIds())]).toEqual(['b']);
    await setWeight(1_000_000);
    expect((await answeringIds()).has('a')).toBe(true);
  });

  it('keeps the old metadata in all entries when the registry rejects one', async () => {
    const { registry, control } = controlledRegistry();
    await using _registry = registry;
    const provider = await start(registry, 'a', { weight: 1 });
    control.rejects = ({ service, metadata }) =>
      service === 'Other' && metadata['getty-weight'] === '2';
    await expect(provider.update({ weight: 2 })).rejects.toThrow('refused');
    await using greeter = new WatchReader(registry, { service: 'Greeter' });
    await using other = new WatchReader(registry, { service: 'Other' });
    for (const watch of [greeter, other])
      expect((await watch.next())?.[0]?.metadata['getty-weight']).toBe('1');
    expect(provider.nodes[0]?.metadata['getty-weight']).toBe('1');
    await provider.update({ weight: 3 });
    expect((await greeter.next())?.[0]?.metadata['getty-weight']).toBe('3');
    await provider.close();
    for (const watch of [greeter, other]) await watch.ids();
  });

  it('runs updates in order; close() waits for the pending one', async () => {
    const { registry, control } = controlledRegistry();
    await using _registry = registry;
    const provider = await start(registry, 'a');
    const held = gate();
    control.wait = held.promise;
    const updates = [1, 2].map((weight) => provider.update({ weight }));
    const late = expect(updates[1]).rejects.toMatchObject({ code: 'ENDPOINT_CLOSED' });
    await new Promise((resolve) => setImmediate(resolve));
    const closed = provider.close();
    held.open();
    await updates[0];
    await late;
    await closed;
    await using watch = new WatchReader(registry, { service: 'Greeter' });
    expect(await watch.next()).toEqual([]);
    await expect(provider.update({ weight: 3 })).rejects.toMatchObject({ code: 'ENDPOINT_CLOSED' });
  });

  it.each([
    { weight: -1 },
    { weight: 1.5 },
    { weight: 1_000_001 },
    { weight: '5' as never },
    { metadata: { x: 1 as never } },
  ])('rejects %j with BAD_OPTION', async (changes) => {
    await using registry = memory();
    await expect(start(registry, 'a', changes)).rejects.toMatchObject({ code: 'BAD_OPTION' });
    await using provider = await start(registry, 'a');
    await expect(provider.update(changes)).rejects.toMatchObject({ code: 'BAD_OPTION' });
    expect(provider.nodes[0]?.metadata).toEqual({});
  });
});
