/** How snapshots are compared, and how a reader gets them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareNodes,
  compareSnapshots,
  nodeKey,
  type SnapshotSink,
  snapshots,
} from '../../src/micro/snapshots.js';
import type { ServiceNode } from '../../src/micro/types.js';
import { isPending, node } from '../fixtures/registries.js';

const list = fc.uniqueArray(
  fc
    .record({
      id: fc.constantFrom('a', 'b', 'c', 'd'),
      version: fc.constantFrom('1', '2'),
      port: fc.integer({ min: 1, max: 3 }),
    })
    .map(({ id, version, port }) => node(id, { version, address: `tcp://h:${port}` })),
  { selector: nodeKey },
);
const sorted = (nodes: readonly ServiceNode[]): ServiceNode[] => [...nodes].sort(compareNodes);

describe('compareSnapshots', () => {
  it('returns the added, removed and updated nodes', () => {
    const [a, b, c] = [node('a'), node('b'), node('c')];
    const heavier = node('b', { metadata: { weight: '2' } });
    expect(compareSnapshots([a, b], [heavier, c])).toEqual({
      added: [c],
      removed: [a],
      updated: [heavier],
    });
    expect(compareSnapshots([a, b], [node('b'), node('a')])).toEqual({
      added: [],
      removed: [],
      updated: [],
    });
  });

  it.each<[string, Partial<ServiceNode>]>([
    ['another address', { address: 'tcp://h:2' }],
    ['a further key', { metadata: { a: '1', b: '2' } }],
    ['a missing key', { metadata: {} }],
    ['another key', { metadata: { toString: '1' } }],
    ['another value', { metadata: { a: '2' } }],
  ])('counts %s as an update', (_, changes) => {
    const before = node('a', { metadata: { a: '1' } });
    expect(compareSnapshots([before], [{ ...before, ...changes }]).updated).toHaveLength(1);
  });

  it('returns changes that turn one list into the other', () => {
    fc.assert(
      fc.property(list, list, (before, after) => {
        const { added, removed, updated } = compareSnapshots(before, after);
        const made = new Map(before.map((each) => [nodeKey(each), each]));
        for (const each of removed) expect(made.delete(nodeKey(each))).toBe(true);
        for (const each of added) expect(made.has(nodeKey(each))).toBe(false);
        for (const each of [...added, ...updated]) made.set(nodeKey(each), each);
        expect(sorted([...made.values()])).toEqual(sorted(after));
      }),
    );
  });
});

/** Lists of the same objects, in any order, as registries offer them one after another. */
const listsOfSame = fc
  .uniqueArray(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom('', 'g', 'h')), {
    selector: ([id, group]) => `${id}/${group}`,
  })
  .map((names) => names.flatMap(([id, group]) => [node(id, { group }), node(id, { group })]))
  .chain((nodes) => fc.array(fc.shuffledSubarray(nodes), { maxLength: 6 }));

/** Nodes in no order, and a function that returns how often fields other than `id` were read. */
function countedNodes(count: number): [ServiceNode[], () => number] {
  let reads = 0;
  const nodes = Array.from({ length: count }, (_, i) => {
    const { service, ...others } = node(`n${(i * 7919) % count}`);
    return Object.defineProperty({ ...others, service }, 'service', {
      get: () => {
        reads++;
        return service;
      },
    });
  });
  return [nodes, () => reads];
}

describe('a change of one node of a long list', () => {
  const changed = (nodes: readonly ServiceNode[]): ServiceNode[] =>
    nodes.map((each, i) => (i === 500 ? node(each.id, { address: 'tcp://h:2' }) : each));

  it('is found without the keys of the others', () => {
    const [before, reads] = countedNodes(1_000);
    const after = changed(before);
    expect(compareSnapshots(before, after).updated).toEqual([after[500]]);
    expect(compareSnapshots(before, [...after].reverse()).updated).toEqual([after[500]]);
    expect(reads()).toBeLessThan(10);
  });

  it('is put in order without sorting the others', async () => {
    const [nodes, reads] = countedNodes(1_000);
    let sink: SnapshotSink | undefined;
    const lists = snapshots((given) => {
      sink = given;
      return () => {};
    })[Symbol.asyncIterator]();
    const first = lists.next();
    sink?.offer(nodes);
    await first;
    const second = lists.next();
    sink?.offer(changed(nodes));
    const { value } = await second;
    expect(reads()).toBeLessThan(10);
    expect(value).toEqual(sorted(changed(nodes)));
  });
});

describe('snapshots', () => {
  /** An iterator, its sink, and how often its watch was stopped. */
  function begin(signal?: AbortSignal): {
    iterator: AsyncIterator<readonly ServiceNode[]>;
    sink: () => SnapshotSink;
    stopped: () => number;
  } {
    let sink: SnapshotSink | undefined;
    let stopped = 0;
    const iterable = snapshots((given) => {
      sink = given;
      return () => {
        stopped++;
      };
    }, signal);
    return {
      iterator: iterable[Symbol.asyncIterator](),
      sink: () => sink as SnapshotSink,
      stopped: () => stopped,
    };
  }

  it('gives the newest list, ordered and frozen, if it differs from the last one', async () => {
    const { iterator, sink } = begin();
    const first = iterator.next();
    sink().offer([node('b'), node('a')]);
    const { value } = await first;
    expect(value).toEqual([node('a'), node('b')]);
    expect(Object.isFrozen(value)).toBe(true);
    const second = iterator.next();
    sink().offer([node('a'), node('b')]);
    expect(await isPending(second)).toBe(true);
    sink().offer([]);
    expect(await second).toEqual({ done: false, value: [] });
    sink().offer([node('a')]);
    sink().offer([node('c')]);
    expect(await iterator.next()).toEqual({ done: false, value: [node('c')] });
  });

  it('gives a list that its registry has changed in place', async () => {
    const { iterator, sink } = begin();
    const nodes = [node('b')];
    const first = iterator.next();
    sink().offer(nodes);
    expect(await first).toEqual({ done: false, value: [node('b')] });
    nodes.unshift(node('a'));
    sink().offer(nodes);
    expect(await iterator.next()).toEqual({ done: false, value: [node('a'), node('b')] });
  });

  it('orders each list, whatever the list before it had', async () => {
    await fc.assert(
      fc.asyncProperty(listsOfSame, async (lists) => {
        const { iterator, sink } = begin();
        for (const [i, nodes] of lists.entries()) {
          // An equal list would not be given.
          const list = [...nodes, node('b', { version: `${i}` })];
          const next = iterator.next();
          sink().offer(list);
          expect((await next).value).toEqual(sorted(list));
        }
      }),
    );
  });

  it('gives each of several pending next() another list', async () => {
    const { iterator, sink } = begin();
    const [first, second] = [iterator.next(), iterator.next()];
    sink().offer([node('a')]);
    expect((await first).value).toHaveLength(1);
    expect(await isPending(second)).toBe(true);
    sink().end();
    expect(await second).toEqual({ done: true, value: undefined });
  });

  it('rejects one next() after a failure, and is done afterwards', async () => {
    const { iterator, sink, stopped } = begin();
    const waiting = [iterator.next(), iterator.next()];
    sink().fail(new Error('away'));
    await expect(waiting[0]).rejects.toThrow('away');
    expect(await waiting[1]).toMatchObject({ done: true });
    expect(await iterator.next()).toMatchObject({ done: true });
    sink().offer([node('a')]);
    sink().fail(new Error('again'));
    expect(await iterator.next()).toMatchObject({ done: true });
    expect(stopped()).toBe(1);
  });

  it('rejects the following next() if no next() is pending at the failure', async () => {
    const { iterator, sink } = begin();
    void iterator.next();
    sink().offer([]);
    sink().fail(new Error('away'));
    await expect(iterator.next()).rejects.toThrow('away');
    expect(await iterator.next()).toMatchObject({ done: true });
  });

  it('stops its watch once when the signal aborts', async () => {
    const abort = new AbortController();
    const { iterator, sink, stopped } = begin(abort.signal);
    const next = iterator.next();
    abort.abort();
    expect(await next).toMatchObject({ done: true });
    await iterator.return?.();
    sink().end();
    expect(stopped()).toBe(1);
  });

  it('stops a watch that ends while it starts', async () => {
    let stopped = 0;
    const iterable = snapshots((sink) => {
      sink.end();
      return () => {
        stopped++;
      };
    });
    expect(await iterable[Symbol.asyncIterator]().next()).toMatchObject({ done: true });
    expect(stopped).toBe(1);
  });
});
