/** Consumer.explain(). */
import { describe, expect, it } from 'vitest';
import { consume, failfast } from '../../src/micro/index.js';
import { Cluster, Greeter } from '../fixtures/cluster.js';
import { noLeaks } from '../fixtures/leaks.js';
import { noTimersLeft } from '../fixtures/timers.js';
import { until } from '../fixtures/waiting.js';

noLeaks();
noTimersLeft();

describe('explain', () => {
  it('lists nodes of other codecs, and addresses that cannot be dialed', async () => {
    await using cluster = new Cluster();
    await cluster.add('a');
    const base = {
      service: 'Greeter',
      group: '',
      version: '',
      protocol: 'json',
      address: 'tcp://127.0.0.1:1',
      metadata: {},
    } as const;
    await cluster.registry.register({ ...base, id: 'dead' });
    await cluster.registry.register({ ...base, id: 'other', protocol: 'protobuf' });
    const consumer = cluster.consume();
    expect((await consumer.explain(Greeter)).query).toEqual({
      service: 'Greeter',
      protocol: 'json',
    });
    await cluster.call(2);
    let explanation = await consumer.explain(Greeter);
    // The dead node may be dialed again just now.
    await until(async () => {
      explanation = await consumer.explain(Greeter);
      return explanation.leftOut.every(({ reason }) => reason !== 'connecting');
    }, 'no node is dialed');
    const { ready, candidates, leftOut } = explanation;
    expect(ready).toBe(true);
    expect(candidates.map(({ node, reason }) => [node.id, reason])).toEqual([
      ['a', 'receives calls'],
    ]);
    expect(leftOut.map(({ node, reason }) => [node.id, reason])).toEqual([
      [
        'dead',
        expect.stringMatching(/^the last dial failed, the next one follows: .*ECONNREFUSED/),
      ],
      ['other', 'its codec is "protobuf", this consumer needs "json"'],
    ]);
  });

  it('names a published service whose name is similar, if no node has the service', async () => {
    await using cluster = new Cluster();
    await cluster.add('a');
    const consumer = cluster.consume();
    const similar = async (name: string): Promise<string | undefined> =>
      (await consumer.explain({ ...Greeter, name })).similarService;
    expect(await similar('Greter')).toBe('Greeter');
    expect(await similar('Warehouse')).toBeUndefined();
    expect(await similar('Greeter')).toBeUndefined();
  });

  it('resolves when the registry cannot list its services', async () => {
    await using cluster = new Cluster();
    const { registry } = cluster;
    const failing = Object.assign(Object.create(registry), {
      watch: registry.watch.bind(registry),
      list: () => Promise.reject(new Error('no list')),
    });
    await using consumer = consume({ registry: failing });
    expect(await consumer.explain(Greeter)).toMatchObject({ candidates: [], leftOut: [] });
  });

  it('lists nodes of other groups; all nodes are candidates when none is available', async () => {
    await using cluster = new Cluster();
    await cluster.registry.register({
      id: 'dead',
      service: 'Greeter',
      group: 'bj',
      version: '',
      protocol: 'json',
      address: 'tcp://127.0.0.1:1',
      metadata: {},
    });
    cluster.consume({ group: 'sh' });
    expect(await cluster.reasons()).toEqual({
      dead: '- its group is "bj", this consumer needs "sh"',
    });
    await using other = consume({ registry: cluster.registry, group: 'bj', strategy: failfast() });
    await expect(other.stub(Greeter).hello('x')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect((await other.explain(Greeter)).candidates.map(({ reason }) => reason)).toEqual([
      expect.stringMatching(/ECONNREFUSED.*; used because too few other nodes are left$/),
    ]);
  });
});
