/** The session of a ZooKeeper client on a real server that is lost, silent or replaced. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  CLIENT_DEFAULTS,
  type ZooKeeperClient,
  type ZooKeeperClientOptions,
} from '../../../src/registries/zookeeper/index.js';
import type { WatchEvent } from '../../../src/registries/zookeeper/types.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse, Inbox, until, within } from '../../fixtures/waiting.js';
import { Network } from '../../fixtures/zookeeper-network.js';
import { startZooKeeper, type ZooKeeperServer } from '../../fixtures/zookeeper-server.js';
import { ObservedClient, partsOf } from './observed-client.js';

const bytes = (text: string): Buffer => Buffer.from(text);

describe('a session', () => {
  noLeaks();
  noTimersLeft();
  let server: ZooKeeperServer;
  let clients: ZooKeeperClient[] = [];
  let proxies: Network[] = [];

  beforeAll(async () => {
    server = await startZooKeeper();
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const client of clients) await client.close();
    for (const proxy of proxies) await proxy.close();
    clients = [];
    proxies = [];
    await server.remove('/s');
  });

  async function openProxy(): Promise<Network> {
    const opened = await Network.open(server.port);
    proxies.push(opened);
    return opened;
  }

  /** Opens a client that is connected, and creates `/s`. */
  async function open(
    hosts: readonly Network[],
    options: ZooKeeperClientOptions = {},
  ): Promise<ObservedClient> {
    const observed = new ObservedClient(hosts.map(({ address }) => address).join(), options);
    clients.push(observed.client);
    await observed.client.makePath('/s');
    await observed.until('connected');
    return observed;
  }

  it('continues after a lost connection: keeps ephemeral nodes, fails requests in flight, delivers missed events', async () => {
    const proxy = await openProxy();
    const { client, until } = partsOf(await open([proxy]));
    const session = client.sessionId;
    const events = new Inbox<WatchEvent>('an event');
    const watch = (event: WatchEvent): void => events.push(event);
    await client.create('/s/mine', bytes(''), { ephemeral: true });
    for (const name of ['changed', 'deleted', 'same']) {
      await server.put(`/s/${name}`, '1');
      await client.getData(`/s/${name}`, { watch });
    }
    await client.exists('/s/created', { watch });
    await client.getChildren('/s', { watch });
    proxy.freeze();
    const unanswered = client.setData('/s/same', bytes('2')).catch((error) => error);
    proxy.refuse();
    expect(await within(unanswered, 'the outcome')).toMatchObject({
      reason: 'CONNECTION_LOST',
      message: expect.stringContaining('it may have been done'),
    });
    const waiting = client.getData('/s/changed');
    await server.put('/s/changed', '2');
    await server.remove('/s/deleted');
    await server.put('/s/created', '');
    proxy.thaw();
    proxy.accept();
    await until('connected');
    expect((await waiting).data.toString()).toBe('2');
    expect(new Set((await events.take(4)).map(({ type, path }) => `${type} ${path}`))).toEqual(
      new Set(['changed /s/changed', 'deleted /s/deleted', 'created /s/created', 'children /s']),
    );
    expect(client.sessionId).toBe(session);
    expect(await server.owner('/s/mine')).toBe(session);
    await server.put('/s/same', '3');
    expect(await events.next()).toEqual({ type: 'changed', path: '/s/same' });
  });

  it('sets thousands of watches again, also below a chroot', async () => {
    const proxy = await openProxy();
    const observed = new ObservedClient(`${proxy.address}/s/chroot`, {
      sessionTimeout: 30_000,
      operationTimeout: 60_000,
    });
    const { client } = observed;
    clients.push(client);
    await client.makePath('/');
    await observed.until('connected');
    const names = Array.from({ length: 3_000 }, (_, i) => `/${'x'.repeat(60)}${i}`);
    const paths = new Inbox<string>('an event');
    await Promise.all(
      names.map((name) => client.exists(name, { watch: ({ path }) => paths.push(path) })),
    );
    proxy.cut();
    await observed.until('connected');
    await Promise.all(names.map((name) => client.create(name, bytes(''), { ephemeral: true })));
    expect(new Set(await paths.take(names.length))).toEqual(new Set(names));
  });

  it('moves to another host when its own refuses connections', async () => {
    const proxies = [await openProxy(), await openProxy()];
    const { client, states, until } = partsOf(await open(proxies));
    const session = client.sessionId;
    const lost = proxies.find(({ connections }) => connections > 0) as Network;
    lost.refuse();
    await until('connected');
    expect(client.sessionId).toBe(session);
    // There is no outage while one host answers.
    expect(states.all).toEqual(['connected', 'connected']);
    await client.exists('/s');
  });

  it('moves from a silent server to another one before it expires', async () => {
    const proxies = [await openProxy(), await openProxy()];
    const { client, states, until } = partsOf(
      await open(proxies, { sessionTimeout: 8_000, operationTimeout: 60_000 }),
    );
    const session = client.sessionId;
    await client.create('/s/mine', bytes(''), { ephemeral: true });
    const start = performance.now();
    proxies.find(({ connections }) => connections > 0)?.freeze();
    const unanswered = client.exists('/s').catch((error) => error);
    await until('connected');
    expect(performance.now() - start).toBeGreaterThan(2_000);
    expect(await unanswered).toMatchObject({
      reason: 'CONNECTION_LOST',
      cause: { message: expect.stringMatching(/silent for \d+ ms/) },
    });
    expect(client.sessionId).toBe(session);
    expect(await server.owner('/s/mine')).toBe(session);
    expect(states.all).toEqual(['connected', 'connected']);
  });

  it('reports an outage and times operations out when the only server is silent', async () => {
    const proxy = await openProxy();
    const observed = await open([proxy], { sessionTimeout: 6_000, operationTimeout: 800 });
    const { client } = observed;
    proxy.freeze();
    await expect(client.exists('/s')).rejects.toMatchObject({
      reason: 'OPERATION_TIMEOUT',
      message: expect.stringContaining('it may have been done'),
    });
    await observed.until('away');
    expect(observed.causes.at(-1)).toMatchObject({ reason: 'SILENT' });
    await until(
      () => String(client.lastFailure).includes('has not accepted the session within'),
      'the next attempt has failed',
    );
    await expect(client.exists('/s')).rejects.toMatchObject({
      reason: 'OPERATION_TIMEOUT',
      message: expect.stringContaining('no connection within 800 ms'),
    });
    proxy.thaw();
    await observed.until('connected');
  });

  it('does not treat a server as silent after the process was busy', async () => {
    const { client, states } = await open([await openProxy()], { sessionTimeout: 9_000 });
    const session = client.sessionId;
    // This is longer than the allowed silence, and shorter than the session.
    const end = performance.now() + 6_500;
    while (performance.now() < end) {}
    // The client makes several checks in this time.
    await elapse(500);
    expect([client.sessionId, states.all]).toEqual([session, ['connected']]);
  });

  it('is replaced by a new session after it has expired: watches and ephemeral nodes are lost, operations work', async () => {
    const { client, until, causes } = partsOf(await open([await openProxy()]));
    const session = client.sessionId;
    await client.create('/s/mine', bytes(''), { ephemeral: true });
    const { stat } = await client.getData('/s/mine');
    const events: string[] = [];
    const watch = ({ type, path }: WatchEvent): void => void events.push(`${type} ${path}`);
    await client.exists('/s/other', { watch });
    await client.getChildren('/s', { watch });
    client.unwatch('/s', watch);
    await client.getChildren('/', { watch });
    await server.expire(session);
    await until('expired');
    expect(causes.at(-1)).toMatchObject({ reason: 'SESSION_EXPIRED' });
    await until('connected');
    expect(events.sort()).toEqual(['lost /', 'lost /s/other']);
    expect(client.sessionId).not.toBe(session);
    expect(client.owns(stat)).toBe(true);
    expect(await client.exists('/s/mine')).toBeUndefined();
  });

  it('is replaced by a new session on a server that has lost its data', async () => {
    const observed = new ObservedClient(server.address, { sessionTimeout: 1_500 });
    clients.push(observed.client);
    await observed.client.makePath('/a/b/c/d');
    await observed.until('connected');
    await server.wipe();
    await observed.until('away');
    await server.start();
    await observed.until('expired');
    await observed.until('connected');
    expect(await observed.client.exists('/a')).toBeUndefined();
  });

  it('stays the same over many lost connections, with one connection and each watch once', async () => {
    const proxies = [await openProxy(), await openProxy()];
    const { client, until } = partsOf(await open(proxies, { initialDelay: 2, maxDelay: 10 }));
    const session = client.sessionId;
    let events = 0;
    const watch = (): void => void events++;
    await client.create('/s/a', bytes(''));
    await client.getData('/s/a', { watch });
    for (let round = 0; round < 100; round++) {
      for (const proxy of proxies) proxy.cut();
      await until('connected');
      await client.getChildren('/s', { watch });
    }
    expect(client.sessionId).toBe(session);
    expect(proxies.reduce((sum, { connections }) => sum + connections, 0)).toBe(1);
    expect(events).toBe(0);
    await server.put('/s/a', '1');
    await client.sync('/s');
    expect(events).toBe(1);
  });

  it('closes at once in every state', async () => {
    const proxy = await openProxy();
    // With this timeout, a close() that waits for the server exceeds the limit of the test.
    const connected = await open([proxy], { sessionTimeout: 60_000 });
    const unreachable = await open([proxy], { sessionTimeout: 60_000 });
    proxy.freeze();
    const connecting = new ObservedClient(proxy.address, { sessionTimeout: 60_000 });
    clients.push(connecting.client);
    const outcome = connecting.client.exists('/s').catch((error) => error);
    await elapse(50);
    await within(connecting.client.close(), 'the close of a connecting client');
    expect(await outcome).toMatchObject({ reason: 'CLOSED' });
    proxy.refuse();
    await unreachable.until('away');
    await within(unreachable.client.close(), 'the close of a client without a server');
    proxy.accept();
    proxy.thaw();
    await connected.until('connected');
    await within(connected.client.close(), 'the close of a connected client');
  });

  it('leaves a silent server in time with the default options', () => {
    expect(CLIENT_DEFAULTS.maxDelay).toBeLessThan(CLIENT_DEFAULTS.sessionTimeout / 3);
  });
});
