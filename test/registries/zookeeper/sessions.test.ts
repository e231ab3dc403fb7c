/** The session of a ZooKeeper client with real servers that are lost, silent or replaced. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  CLIENT_DEFAULTS,
  type ClientState,
  ZooKeeperClient,
  type ZooKeeperClientOptions,
} from '../../../src/registries/zookeeper/index.js';
import type { WatchEvent } from '../../../src/registries/zookeeper/types.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse, Inbox, until, within } from '../../fixtures/waiting.js';
import { Network } from '../../fixtures/zookeeper-network.js';
import {
  startEnsemble,
  startZooKeeper,
  type ZooKeeperServer,
} from '../../fixtures/zookeeper-server.js';

const bytes = (text: string): Buffer => Buffer.from(text);

/** A client and its changes of state. */
class Watched {
  readonly states: Inbox<ClientState> = new Inbox('a change of state', () =>
    this.states.all.join(' '),
  );
  readonly causes: (Error | undefined)[] = [];
  readonly client: ZooKeeperClient;

  constructor(hosts: string, options: ZooKeeperClientOptions) {
    const onState = (state: ClientState, cause?: Error): void => {
      this.causes.push(cause);
      this.states.push(state);
    };
    this.client = new ZooKeeperClient(hosts, {
      sessionTimeout: 20_000,
      initialDelay: 20,
      ...options,
      onState,
    });
  }

  async until(state: ClientState): Promise<void> {
    while ((await this.states.next()) !== state) {}
  }
}

describe('a session', () => {
  noLeaks();
  noTimersLeft();
  let server: ZooKeeperServer;
  let clients: ZooKeeperClient[] = [];
  let networks: Network[] = [];

  beforeAll(async () => {
    server = await startZooKeeper();
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const client of clients) await client.close();
    for (const network of networks) await network.close();
    clients = [];
    networks = [];
    await server.remove('/s');
  });

  async function network(): Promise<Network> {
    const opened = await Network.open(server.port);
    networks.push(opened);
    return opened;
  }

  /** Connected, with `/s`. */
  async function open(
    hosts: readonly Network[],
    options: ZooKeeperClientOptions = {},
  ): Promise<Watched> {
    const watched = new Watched(hosts.map(({ address }) => address).join(), options);
    clients.push(watched.client);
    await watched.client.makePath('/s');
    await watched.until('connected');
    return watched;
  }

  it('continues after a lost connection: ephemeral nodes stay, requests under proxy fail, missed events arrive', async () => {
    const proxy = await network();
    const { client, until } = bound(await open([proxy]));
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
    const uncertain = client.setData('/s/same', bytes('2')).catch((error) => error);
    proxy.refuse();
    expect(await within(uncertain, 'the outcome')).toMatchObject({
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
    const proxy = await network();
    const watched = new Watched(`${proxy.address}/s/chroot`, {
      sessionTimeout: 30_000,
      operationTimeout: 60_000,
    });
    const { client } = watched;
    clients.push(client);
    await client.makePath('/');
    await watched.until('connected');
    const names = Array.from({ length: 3_000 }, (_, i) => `/${'x'.repeat(60)}${i}`);
    const told = new Inbox<string>('an event');
    await Promise.all(
      names.map((name) => client.exists(name, { watch: ({ path }) => told.push(path) })),
    );
    proxy.cut();
    await watched.until('connected');
    await Promise.all(names.map((name) => client.create(name, bytes(''), { ephemeral: true })));
    expect(new Set(await told.take(names.length))).toEqual(new Set(names));
  });

  it('moves to another host when its own is gone', async () => {
    const proxies = [await network(), await network()];
    const { client, states, until } = bound(await open(proxies));
    const session = client.sessionId;
    const lost = proxies.find(({ connections }) => connections > 0) as Network;
    lost.refuse();
    await until('connected');
    expect(client.sessionId).toBe(session);
    // While one host answers, there is no outage.
    expect(states.all).toEqual(['connected', 'connected']);
    await client.exists('/s');
  });

  it('moves from a silent server to another one before it expires', async () => {
    const proxies = [await network(), await network()];
    const { client, states, until } = bound(
      await open(proxies, { sessionTimeout: 8_000, operationTimeout: 60_000 }),
    );
    const session = client.sessionId;
    await client.create('/s/mine', bytes(''), { ephemeral: true });
    const began = performance.now();
    proxies.find(({ connections }) => connections > 0)?.freeze();
    const uncertain = client.exists('/s').catch((error) => error);
    await until('connected');
    const took = performance.now() - began;
    // The session has not expired.
    expect(took).toBeGreaterThan(2_000);
    expect(await uncertain).toMatchObject({
      reason: 'CONNECTION_LOST',
      cause: { message: expect.stringMatching(/silent for \d+ ms/) },
    });
    expect(client.sessionId).toBe(session);
    expect(await server.owner('/s/mine')).toBe(session);
    expect(states.all).toEqual(['connected', 'connected']);
  });

  it('a silent server without another host is an outage, and operations time out', async () => {
    const proxy = await network();
    const watched = await open([proxy], { sessionTimeout: 6_000, operationTimeout: 800 });
    const { client } = watched;
    proxy.freeze();
    await expect(client.exists('/s')).rejects.toMatchObject({
      reason: 'OPERATION_TIMEOUT',
      message: expect.stringContaining('it may have been done'),
    });
    await watched.until('away');
    expect(watched.causes.at(-1)).toMatchObject({ reason: 'SILENT' });
    await until(
      () => String(client.lastFailure).includes('has not accepted the session within'),
      'the next attempt has failed',
    );
    await expect(client.exists('/s')).rejects.toMatchObject({
      reason: 'OPERATION_TIMEOUT',
      message: expect.stringContaining('no connection within 800 ms'),
    });
    proxy.thaw();
    await watched.until('connected');
  });

  it('does not treat a server as silent after the process was busy', async () => {
    const { client, states } = await open([await network()], { sessionTimeout: 9_000 });
    const session = client.sessionId;
    // Longer than the allowed silence, and shorter than the session.
    const end = performance.now() + 6_500;
    while (performance.now() < end) {}
    // Wait for several checks.
    await elapse(500);
    expect([client.sessionId, states.all]).toEqual([session, ['connected']]);
  });

  it('is replaced by a new one after it has expired: watches and ephemeral nodes are lost, operations work', async () => {
    const { client, until, causes } = bound(await open([await network()]));
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

  it('is replaced by a new one on a server that has lost its data', async () => {
    const own = await startZooKeeper();
    try {
      const watched = new Watched(own.address, { sessionTimeout: 1_500 });
      clients.push(watched.client);
      await watched.client.makePath('/a/b/c/d');
      await watched.until('connected');
      await own.wipe();
      await watched.until('away');
      await own.start();
      await watched.until('expired');
      await watched.until('connected');
      expect(await watched.client.exists('/a')).toBeUndefined();
    } finally {
      await own.stop();
    }
  });

  it('stays the same over many lost connections, and nothing leaks', async () => {
    const proxies = [await network(), await network()];
    const { client, until } = bound(await open(proxies, { initialDelay: 2, maxDelay: 10 }));
    const session = client.sessionId;
    let told = 0;
    const watch = (): void => void told++;
    await client.create('/s/a', bytes(''));
    await client.getData('/s/a', { watch });
    for (let round = 0; round < 100; round++) {
      for (const proxy of proxies) proxy.cut();
      await until('connected');
      await client.getChildren('/s', { watch });
    }
    expect(client.sessionId).toBe(session);
    expect(proxies.reduce((sum, { connections }) => sum + connections, 0)).toBe(1);
    expect(told).toBe(0);
    await server.put('/s/a', '1');
    await client.sync('/s');
    expect(told).toBe(1);
  });

  it('closes at once in every state of the client', async () => {
    const proxy = await network();
    // A close() that waits for the server takes as long as the session.
    const connected = await open([proxy], { sessionTimeout: 60_000 });
    const away = await open([proxy], { sessionTimeout: 60_000 });
    proxy.freeze();
    const connecting = new Watched(proxy.address, { sessionTimeout: 60_000 });
    clients.push(connecting.client);
    const outcome = connecting.client.exists('/s').catch((error) => error);
    await elapse(50);
    await within(connecting.client.close(), 'the end of a client that connects');
    expect(await outcome).toMatchObject({ reason: 'CLOSED' });
    proxy.refuse();
    await away.until('away');
    await within(away.client.close(), 'the end of a client that is away');
    proxy.accept();
    proxy.thaw();
    await connected.until('connected');
    await within(connected.client.close(), 'the end of a client');
  });

  it('leaves a silent server in time with the default options', () => {
    expect(CLIENT_DEFAULTS.maxDelay).toBeLessThan(CLIENT_DEFAULTS.sessionTimeout / 3);
  });
});

/** Its methods without the object. */
function bound(watched: Watched): Pick<Watched, 'client' | 'states' | 'causes' | 'until'> {
  const { client, states, causes } = watched;
  return { client, states, causes, until: (state) => watched.until(state) };
}

describe('with an ensemble', () => {
  noLeaks();
  let servers: ZooKeeperServer[] = [];
  beforeAll(async () => {
    servers = await startEnsemble(3);
  }, INSTALL_TIMEOUT);
  afterAll(async () => {
    for (const server of servers) await server.stop();
  });

  it('a session outlives the leader and a loss of the quorum', async () => {
    const hosts = servers.map(({ address }) => address).join();
    const watched = new Watched(hosts, { sessionTimeout: 15_000, operationTimeout: 30_000 });
    await using client = watched.client;
    await client.makePath('/s');
    await client.create('/s/mine', bytes(''), { ephemeral: true });
    const session = client.sessionId;
    const leader = await find(servers, 'Mode: leader');
    await leader.kill();
    expect((await persistently(() => client.exists('/s/mine')))?.ephemeralOwner).toBe(session);
    // Without a quorum the last server accepts no session.
    const [second, third] = servers.filter((server) => server !== leader) as [
      ZooKeeperServer,
      ZooKeeperServer,
    ];
    watched.states.dismiss();
    await second.kill();
    await watched.until('away');
    await second.spawn();
    await leader.spawn();
    await watched.until('connected');
    expect(await persistently(() => client.exists('/s/mine'))).toMatchObject({
      ephemeralOwner: session,
    });
    expect(client.sessionId).toBe(session);
    await third.answering();
  });
});

/** Retries an operation, because several connections may be lost while servers restart. */
async function persistently<T>(operation: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await operation();
    } catch (error) {
      expect(error).toMatchObject({ reason: 'CONNECTION_LOST' });
    }
  }
}

async function find(servers: readonly ZooKeeperServer[], text: string): Promise<ZooKeeperServer> {
  for (const server of servers) if ((await server.command('srvr')).includes(text)) return server;
  throw new Error(`no server says ${text}`);
}
