/** The resolver: the last list during an outage, and the present list after it. */
import { describe, expect, it } from 'vitest';
import { Resolver } from '../../src/micro/resolver.js';
import { type SnapshotChange, type SnapshotSink, snapshots } from '../../src/micro/snapshots.js';
import type { Registry, ServiceNode } from '../../src/micro/types.js';
import { memory } from '../../src/registries/memory.js';
import { noLeaks } from '../fixtures/leaks.js';
import { isPending, node, QUERY, RecordingLogger } from '../fixtures/registries.js';
import { noTimersLeft } from '../fixtures/timers.js';
import { Inbox, turns } from '../fixtures/waiting.js';

const FAST = { initialDelay: 1, maxDelay: 4 };

/** A registry whose watches the test controls; `watches` receives each watch when it starts. */
function controlledRegistry(): {
  registry: Registry;
  watches: Inbox<SnapshotSink>;
  live: () => number;
} {
  const watches = new Inbox<SnapshotSink>('a watch');
  let live = 0;
  const registry: Registry = {
    register: () => Promise.reject(new Error('not here')),
    watch: (_, { signal } = {}) =>
      snapshots((sink) => {
        live++;
        watches.push(sink);
        return () => {
          live--;
        };
      }, signal),
    list: async () => [],
    async [Symbol.asyncDispose]() {},
  };
  return { registry, watches, live: () => live };
}

const ids = (nodes: readonly ServiceNode[]): string[] => nodes.map(({ id }) => id);

describe('Resolver', () => {
  noLeaks();
  noTimersLeft();

  it('gives the lists of the registry and their changes', async () => {
    await using registry = memory();
    await using resolver = new Resolver(registry, QUERY);
    expect(resolver.nodes()).toEqual([]);
    expect(await resolver.ready()).toEqual([]);
    const changes = new Inbox<SnapshotChange>('a change');
    const stop = resolver.onChange((change, nodes) => {
      expect(nodes).toBe(resolver.nodes());
      changes.push(change);
    });
    const registration = await registry.register(node('a'));
    expect(await changes.next()).toEqual({ added: [node('a')], removed: [], updated: [] });
    await registry.register(node('a', { metadata: { weight: '2' } }));
    expect((await changes.next()).updated).toHaveLength(1);
    stop();
    await registration[Symbol.asyncDispose]();
    await registry.register(node('b'));
    await turns(3);
    expect(ids(resolver.nodes())).toEqual(['a', 'b']);
    expect(changes.unread).toEqual([]);
  });

  it('keeps the last list while the watch fails, logs that once, and gives the new list afterwards', async () => {
    const { registry, watches } = controlledRegistry();
    const log = new RecordingLogger();
    await using resolver = new Resolver(registry, QUERY, { ...FAST, logger: log });
    const changes: SnapshotChange[] = [];
    resolver.onChange((change) => changes.push(change));
    (await watches.next()).offer([node('a'), node('b')]);
    await resolver.ready();
    const list = resolver.nodes();
    for (let failure = 0; failure < 3; failure++) {
      const watch = failure === 0 ? (watches.all[0] as SnapshotSink) : await watches.next();
      watch.fail(new Error('connection lost'));
      await turns(2);
      expect(resolver.nodes()).toBe(list);
    }
    const back = await watches.next();
    back.offer([node('b'), node('a')]);
    await log.waitFor('works again');
    expect(resolver.nodes()).toBe(list);
    back.offer([node('b'), node('c')]);
    await turns(3);
    expect(ids(resolver.nodes())).toEqual(['b', 'c']);
    expect(changes.slice(1)).toEqual([{ added: [node('c')], removed: [node('a')], updated: [] }]);
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('retries a watch that throws at once', async () => {
    const { registry, watches } = controlledRegistry();
    const { watch } = registry;
    let throws = 2;
    registry.watch = (query, options) => {
      if (throws-- > 0) throw new Error('not yet');
      return watch(query, options);
    };
    await using resolver = new Resolver(registry, QUERY, FAST);
    (await watches.next()).offer([node('a')]);
    expect(ids(await resolver.ready())).toEqual(['a']);
  });

  it('rejects ready() with the reason after a timeout or an abort', async () => {
    const { registry, watches } = controlledRegistry();
    await using resolver = new Resolver(registry, QUERY, FAST);
    (await watches.next()).fail(new Error('refused'));
    await expect(resolver.ready({ timeout: 20 })).rejects.toMatchObject({
      code: 'REGISTRY_FAILED',
      message: expect.stringContaining('refused'),
    });
    const abort = new AbortController();
    const waiting = resolver.ready({ signal: abort.signal, timeout: 300_000 });
    abort.abort('enough');
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED_BY_CALLER', cause: 'enough' });
    await expect(resolver.ready({ signal: abort.signal })).rejects.toMatchObject({
      code: 'ABORTED_BY_CALLER',
    });
    const unsettled = resolver.ready();
    expect(await isPending(unsettled)).toBe(true);
    (await watches.next()).offer([]);
    expect(await unsettled).toEqual([]);
  });

  it('ends the watch, ready() and the retries by close()', async () => {
    const { registry, watches, live } = controlledRegistry();
    const resolver = new Resolver(registry, QUERY, { initialDelay: 300_000, maxDelay: 300_000 });
    const waiting = resolver.ready();
    const first = await watches.next();
    await Promise.all([
      resolver.close(),
      expect(waiting).rejects.toMatchObject({ code: 'ENDPOINT_CLOSED' }),
    ]);
    expect(live()).toBe(0);
    first.offer([node('a')]);
    expect(resolver.nodes()).toEqual([]);
    await expect(resolver.ready()).rejects.toMatchObject({ code: 'ENDPOINT_CLOSED' });
    const retrying = new Resolver(registry, QUERY, { initialDelay: 300_000, maxDelay: 300_000 });
    (await watches.next()).fail(new Error('away'));
    await turns(2);
    await retrying.close();
    await retrying.close();
    expect(live()).toBe(0);
  });

  it('keeps the last list of a disposed registry, and does not watch it again', async () => {
    const registry = memory();
    await registry.register(node('a'));
    await using resolver = new Resolver(registry, QUERY, FAST);
    await resolver.ready();
    await registry[Symbol.asyncDispose]();
    await turns(3);
    expect(ids(resolver.nodes())).toEqual(['a']);
    await using late = new Resolver(registry, QUERY, FAST);
    await expect(late.ready()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
  });

  it('logs the error of a listener and calls the other listeners', async () => {
    const { registry, watches } = controlledRegistry();
    const log = new RecordingLogger();
    await using resolver = new Resolver(registry, QUERY, { ...FAST, logger: log });
    let calls = 0;
    resolver.onChange(() => {
      throw new Error('mine');
    });
    resolver.onChange(() => calls++);
    (await watches.next()).offer([node('a')]);
    await log.waitFor('listener failed');
    expect([calls, resolver.nodes().length]).toEqual([1, 1]);
  });

  it('does not call a listener that another listener has removed', async () => {
    const { registry, watches } = controlledRegistry();
    await using resolver = new Resolver(registry, QUERY, FAST);
    const called: string[] = [];
    resolver.onChange(() => {
      called.push('first');
      stop();
    });
    const stop = resolver.onChange(() => called.push('second'));
    (await watches.next()).offer([node('a')]);
    await resolver.ready();
    expect(called).toEqual(['first']);
  });

  it('throws BAD_OPTION for a bad option', () => {
    expect(() => new Resolver(memory(), QUERY, { initialDelay: 0 })).toThrowError(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  });
});
