/**
 * With `goConsumers`, a registry deletes an entry and creates it again instead of replacing it in
 * one step. Meanwhile a stand-in entry keeps the node in every list.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { entryPath, entryValue } from '../../../src/micro/registry-entry.js';
import type { Registry } from '../../../src/micro/types.js';
import { etcd } from '../../../src/registries/etcd/index.js';
import { zookeeper } from '../../../src/registries/zookeeper/index.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { EtcdServer } from '../../fixtures/etcd-server.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node, RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import type { RegistryServer } from '../../fixtures/registry-server.js';
import { TcpProxy } from '../../fixtures/tcp-proxy.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse } from '../../fixtures/waiting.js';
import { createZooKeeper } from '../../fixtures/zookeeper-server.js';

const ROWS: readonly (readonly [
  name: string,
  create: () => Promise<RegistryServer>,
  open: (at: { host: string; port: number }, goConsumers: boolean) => Registry,
])[] = [
  [
    'etcd',
    () => EtcdServer.create(),
    (at, goConsumers) =>
      etcd(`http://${at.host}:${at.port}`, {
        goConsumers,
        requestTimeout: 500,
        maxDelay: 200,
        logger: new RecordingLogger(),
      }),
  ],
  [
    'zookeeper',
    () => createZooKeeper(),
    (at, goConsumers) =>
      zookeeper(`${at.host}:${at.port}`, {
        goConsumers,
        operationTimeout: 500,
        logger: new RecordingLogger(),
      }),
  ],
];

/** Milliseconds: longer than the pause of a replacement and two operations after it. */
const OUTAGE = 2_000;

describe.each(ROWS)('%s with goConsumers', (_, create, open) => {
  noLeaks();
  noTimersLeft();
  let server: RegistryServer;
  let registries: Registry[] = [];
  beforeAll(async () => {
    server = await create();
    await server.start();
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());
  beforeEach(() => {
    registries = [open(server, true), open(server, false)];
  });
  afterEach(async () => {
    for (const registry of registries) await registry[Symbol.asyncDispose]();
  });

  it.each([
    ['an update', false],
    ['a restart under the same id', true],
  ])(
    'deletes and creates the entry for %s, and lists its node all the time',
    async (_name, isRestart) => {
      const [first, reader] = registries as [Registry, Registry];
      await using watch = new WatchReader(reader);
      await watch.ids();
      const old = node('a', { address: 'tcp://127.0.0.1:1' });
      if (isRestart) await server.put(entryPath('/getty', old), entryValue(old));
      else await first.register(old);
      await watch.ids('a');
      const replaced = first.register(node('a', { address: 'tcp://127.0.0.1:2' }));
      const [standIn] = await watch.ids('a-replacing');
      expect(standIn?.address).toBe('tcp://127.0.0.1:2');
      const [last] = await watch.ids('a');
      expect(last?.address).toBe('tcp://127.0.0.1:2');
      await replaced;
      expect(watch.seen.slice(1).filter((ids) => ids.length === 0)).toEqual([]);
      expect((await server.entries('/getty')).size).toBe(1);
    },
  );

  it('deletes the stand-in entry when the connection was lost during the replacement', async () => {
    const proxy = await TcpProxy.to(server);
    const [, reader] = registries as [Registry, Registry];
    const first = open({ host: '127.0.0.1', port: proxy.port }, true);
    registries.push(first);
    await using watch = new WatchReader(reader);
    await watch.ids();
    // So that the lease or the session of the registry lives on.
    await first.register(node('other', { service: 'Other' }));
    const registration = await first.register(node('a', { address: 'tcp://127.0.0.1:1' }));
    await watch.ids('a');
    const replaced = first.register(node('a', { address: 'tcp://127.0.0.1:2' }));
    await watch.ids('a-replacing');
    proxy.refuse();
    await elapse(OUTAGE);
    proxy.accept();
    await replaced;
    await watch.ids('a');
    await registration[Symbol.asyncDispose]();
    await registries.pop()?.[Symbol.asyncDispose]();
    await proxy.close();
  });

  it('creates a new entry without a stand-in entry', async () => {
    const [first, reader] = registries as [Registry, Registry];
    await using watch = new WatchReader(reader);
    await watch.ids();
    await first.register(node('b'));
    await watch.ids('b');
    expect(watch.seen).toEqual([[], ['b']]);
  });
});
