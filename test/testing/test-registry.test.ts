import { describe, expect, test } from 'vitest';
import { consume, failover, provide, Resolver, type ServiceNode } from '../../src/micro/index.js';
import { type TestRegistry, testRegistry } from '../../src/testing/index.js';
import { Greeter, greeter } from '../fixtures/greeter.js';
import { noLeaks } from '../fixtures/leaks.js';
import { node as nodeOf, QUERY, WatchReader } from '../fixtures/registries.js';
import { elapse, Inbox } from '../fixtures/waiting.js';

noLeaks();

const FAILED = { code: 'REGISTRY_FAILED' };

async function withNodes(...ids: string[]): Promise<TestRegistry> {
  const registry = testRegistry();
  for (const id of ids) await registry.register(nodeOf(id));
  return registry;
}

const idsOf = (nodes: readonly ServiceNode[]): string[] => nodes.map(({ id }) => id);

describe('without a disturbance', () => {
  test('lists what is registered, and each change', async () => {
    await using registry = await withNodes('b');
    await using watch = new WatchReader(registry);
    await watch.ids('b');
    const a = await registry.register(nodeOf('a'));
    await watch.ids('a', 'b');
    await a[Symbol.asyncDispose]();
    await watch.ids('b');
    expect(await registry.list()).toEqual([nodeOf('b')]);
    expect(registry.watchCount).toBe(1);
  });

  test('lists the nodes of the query only', async () => {
    await using registry = await withNodes('a');
    await registry.register(nodeOf('b', { group: 'north' }));
    await using watch = new WatchReader(registry, { ...QUERY, group: 'north' });
    await watch.ids('b');
  });

  test('a second registration replaces the first, and survives the end of the first', async () => {
    await using registry = testRegistry();
    const first = await registry.register(nodeOf('a'));
    await registry.register(nodeOf('a', { address: 'tcp://127.0.0.1:2' }));
    await first[Symbol.asyncDispose]();
    expect((await registry.list()).map(({ address }) => address)).toEqual(['tcp://127.0.0.1:2']);
  });

  test('ends its watches and refuses further use when it is disposed', async () => {
    const registry = await withNodes('a');
    await using watch = new WatchReader(registry);
    await watch.ids('a');
    registry.delay = 60_000;
    registry.remove();
    await registry[Symbol.asyncDispose]();
    expect(await watch.next()).toBeUndefined();
    expect(await new WatchReader(registry).next()).toBeUndefined();
    await expect(registry.list()).rejects.toMatchObject(FAILED);
    await expect(registry.register(nodeOf('b'))).rejects.toMatchObject(FAILED);
  });

  test('serves provide() and consume()', async () => {
    await using registry = testRegistry();
    await using _provider = await provide({
      registry,
      address: 'memory://',
      services: [greeter('a')],
    });
    await using consumer = consume({ registry });
    expect(await consumer.stub(Greeter).hello('world')).toBe('a: world');
  });
});

describe('a disturbance', () => {
  test('add() adds an entry that has no provider', async () => {
    await using registry = testRegistry();
    await using watch = new WatchReader(registry, { service: 'Shop' });
    await watch.ids();
    const remove = registry.add({ service: 'Shop', address: 'tcp://127.0.0.1:1' });
    expect(await watch.next()).toEqual([
      {
        id: 'test-1',
        service: 'Shop',
        group: '',
        version: '',
        protocol: 'json',
        address: 'tcp://127.0.0.1:1',
        metadata: {},
      },
    ]);
    remove();
    await watch.ids();
    remove();
  });

  test('remove() and restore() change the lists, and inform the providers', async () => {
    await using registry = await withNodes('b');
    const published: boolean[] = [];
    await registry.register(nodeOf('a'), (isPublished) => published.push(isPublished));
    await using watch = new WatchReader(registry);
    await watch.ids('a', 'b');
    expect(registry.remove({ id: 'a' })).toBe(1);
    expect(registry.remove({ id: 'a' })).toBe(0);
    await watch.ids('b');
    expect(registry.remove((node) => node.id === 'b')).toBe(1);
    await watch.ids();
    expect(registry.restore()).toBe(2);
    await watch.ids('a', 'b');
    expect(published).toEqual([false, true]);
  });

  test('double() adds a second entry for each node', async () => {
    await using registry = await withNodes('a', 'b');
    const undo = registry.double({ id: 'b' });
    expect(idsOf(registry.nodes)).toEqual(['a', 'b', 'b-double']);
    expect(registry.nodes[2]).toEqual(nodeOf('b-double'));
    undo();
    expect(idsOf(registry.nodes)).toEqual(['a', 'b']);
  });

  test('flap() takes nodes out and puts them back, as often as it is told', async () => {
    await using registry = await withNodes('a', 'b');
    await using watch = new WatchReader(registry);
    await watch.ids('a', 'b');
    const flapping = registry.flap({ id: 'a' }, { times: 2, period: 5 });
    await watch.ids('b');
    await watch.ids('a', 'b');
    await watch.ids('b');
    await watch.ids('a', 'b');
    await flapping;
    expect(idsOf(registry.nodes)).toEqual(['a', 'b']);
  });

  test('flap() ends when the registry is disposed', async () => {
    const registry = await withNodes('a');
    const flapping = registry.flap({}, { period: 300_000 });
    await registry[Symbol.asyncDispose]();
    await flapping;
  });

  test('a delay postpones each list', async () => {
    await using registry = await withNodes('a');
    await using watch = new WatchReader(registry);
    await watch.ids('a');
    registry.delay = 30;
    const before = performance.now();
    registry.add(nodeOf('b'));
    expect(idsOf(registry.nodes)).toEqual(['a', 'b']);
    await watch.ids('a', 'b');
    // A timer may fire 1 ms early.
    expect(performance.now() - before).toBeGreaterThanOrEqual(29);
  });

  test('a list that a longer delay postpones is dropped after a newer one', async () => {
    await using registry = await withNodes('a');
    await using watch = new WatchReader(registry);
    await watch.ids('a');
    registry.delay = 20;
    const remove = registry.add(nodeOf('b'));
    registry.delay = 0;
    remove();
    const next = watch.next();
    await elapse(40);
    registry.add(nodeOf('c'));
    expect(idsOf((await next) ?? [])).toEqual(['a', 'c']);
    expect(watch.seen).toEqual([['a'], ['a', 'c']]);
  });

  test('hold() keeps all lists until release(), which delivers the current one', async () => {
    await using registry = await withNodes('a');
    await using watch = new WatchReader(registry);
    await watch.ids('a');
    registry.hold();
    registry.add(nodeOf('b'));
    registry.add(nodeOf('c'));
    const next = watch.next();
    await elapse(10);
    expect(watch.seen).toEqual([['a']]);
    registry.release();
    expect(idsOf((await next) ?? [])).toEqual(['a', 'b', 'c']);
  });

  test('while it is down it lists nothing, keeps its watches, and publishes at up()', async () => {
    await using registry = await withNodes('a');
    await using watch = new WatchReader(registry);
    await watch.ids('a');
    registry.down();
    expect(registry.failure).toMatchObject(FAILED);
    await expect(registry.list()).rejects.toMatchObject(FAILED);
    const published: boolean[] = [];
    await registry.register(nodeOf('b'), (isPublished) => published.push(isPublished));
    registry.remove({ id: 'a' });
    expect(published).toEqual([false]);
    expect(watch.seen).toEqual([['a']]);
    registry.up();
    expect(registry.failure).toBeUndefined();
    await watch.ids('b');
    expect(published).toEqual([false, true]);
  });

  test('a consumer keeps its nodes while the registry is down, and begins a failed watch again', async () => {
    await using registry = testRegistry();
    await using _provider = await provide({
      registry,
      address: 'memory://',
      services: [greeter('a')],
    });
    await using consumer = consume({ registry, strategy: failover() });
    const stub = consumer.stub(Greeter);
    expect(await stub.hello('world')).toBe('a: world');
    registry.down();
    expect(await stub.hello('world')).toBe('a: world');
    registry.up();

    const lists = new Inbox<string[]>('a list');
    await using resolver = new Resolver(registry, { service: 'Greeter' }, { initialDelay: 1 });
    resolver.onChange((_, nodes) => lists.push(nodes.map(({ address }) => address)));
    await lists.next();
    registry.failWatches();
    registry.add({ service: 'Greeter', address: 'tcp://127.0.0.1:1' });
    expect((await lists.next()).sort()).toContain('tcp://127.0.0.1:1');
  });

  test('a filter selects nodes by single keys of their metadata', async () => {
    await using registry = await withNodes('a');
    const node = { service: 'Greeter', address: 'tcp://127.0.0.1:1' };
    registry.add({ ...node, metadata: { zone: 'north', rack: '1' } });
    registry.add({ ...node, metadata: { zone: 'south', rack: '1' } });
    expect(registry.remove({ metadata: { zone: 'north' } })).toBe(1);
    expect(registry.remove({ metadata: { rack: '1' } })).toBe(1);
    expect(registry.remove({ metadata: { rack: '2' } })).toBe(0);
  });

  test('refuses an invalid node, filter, delay and option', async () => {
    await using registry = await withNodes('a');
    const badOption = expect.objectContaining({ code: 'BAD_OPTION' });
    expect(() => registry.add(1 as never)).toThrow(badOption);
    expect(() => registry.add({ service: 'Shop' } as never)).toThrow(badOption);
    expect(() => registry.remove('a' as never)).toThrow(badOption);
    expect(() => registry.remove({ metadata: null as never })).toThrow(badOption);
    for (const method of ['remove', 'restore', 'double'] as const)
      expect(() => registry[method]({ adress: 'tcp://127.0.0.1:1' } as never)).toThrow(
        'adress is not an option of a filter of nodes; did you mean address?',
      );
    await expect(registry.flap({ adress: '' } as never)).rejects.toEqual(badOption);
    expect(() => {
      registry.delay = -1;
    }).toThrow(badOption);
    await expect(registry.flap({}, { times: 0 })).rejects.toEqual(badOption);
  });
});
