/** An etcd cluster of three members whose leader is killed or frozen. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Registry } from '../../../src/micro/types.js';
import { etcd } from '../../../src/registries/etcd/index.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { type EtcdServer, etcdCluster, leaderOf } from '../../fixtures/etcd-server.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node, type RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse, until } from '../../fixtures/waiting.js';

const QUICK = {
  ttl: 5_000,
  pingInterval: 500,
  pingTimeout: 500,
  requestTimeout: 1_500,
  dialTimeout: 500,
  maxDelay: 300,
};

describe('an etcd cluster', () => {
  noLeaks();
  noTimersLeft();
  let members: EtcdServer[];
  const registries: Registry[] = [];
  beforeAll(async () => {
    members = await etcdCluster(3);
  }, INSTALL_TIMEOUT);
  afterAll(() => Promise.all(members.map((member) => member.stop())));
  afterEach(async () => {
    await Promise.all(registries.splice(0).map((registry) => registry[Symbol.asyncDispose]()));
  });

  function open(log?: RecordingLogger): Registry {
    const registry = etcd(
      members.map(({ endpoint }) => endpoint),
      { ...QUICK, logger: log },
    );
    registries.push(registry);
    return registry;
  }

  it.each<['kill' | 'freeze', string]>([
    ['kill', 'is killed and started again'],
    ['freeze', 'is frozen for longer than a lease'],
  ])('loses no provider and delivers changes when its leader (%s) %s', async (how) => {
    const ids = ['p1', 'p2', 'p3', 'p4', 'p5', 'p6'];
    await Promise.all(ids.map((id) => open().register(node(id))));
    await using watch = new WatchReader(open());
    await watch.ids(...ids);
    const listsBefore = watch.seen.length;
    const complete = new Set<EtcdServer>();
    const leader = await leaderOf(members);
    const others = members.filter((member) => member !== leader);
    if (how === 'kill') await leader.kill();
    else await leader.freeze();

    const start = performance.now();
    const late = open();
    await late.register(node('p7'));
    ids.push('p7');
    // Every list has every entry, during and after the outage.
    while (performance.now() - start < QUICK.ttl + 2_000) {
      for (const member of others) {
        const found = await member.entries('/getty').catch(() => undefined);
        if (found === undefined) continue;
        // This member may not have the last entry yet. When it has it once, it keeps it.
        if (found.size === ids.length) complete.add(member);
        expect(found.size).toBeGreaterThanOrEqual(
          complete.has(member) ? ids.length : ids.length - 1,
        );
      }
      await elapse(200);
    }
    expect(complete.size).toBe(others.length);
    if (watch.seen.at(-1)?.length !== ids.length) await watch.ids(...ids);
    expect(watch.seen.slice(listsBefore).filter((list) => list.length < 6)).toEqual([]);

    if (how === 'kill') await leader.start();
    else leader.thaw();
    await open().register(node('p8'));
    ids.push('p8');
    // A leader of etcd 3.4 that was frozen expires leases that another leader has renewed. The
    // registries write their entries again.
    await watch.ids(...ids);
    await until(
      async () => (await leader.entries('/getty').catch(() => new Map())).size === ids.length,
      'the leader that is back holds every entry',
    );
  });
});
