/** The session of a ZooKeeper client with an ensemble of three servers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { startEnsemble, type ZooKeeperServer } from '../../fixtures/zookeeper-server.js';
import { ObservedClient } from './observed-client.js';

const bytes = (text: string): Buffer => Buffer.from(text);

describe('a session of an ensemble', () => {
  noLeaks();
  let servers: ZooKeeperServer[] = [];
  beforeAll(async () => {
    servers = await startEnsemble(3);
  }, INSTALL_TIMEOUT);
  afterAll(async () => {
    for (const server of servers) await server.stop();
  });

  it('continues after a loss of the leader and of the quorum', async () => {
    const hosts = servers.map(({ address }) => address).join();
    const observed = new ObservedClient(hosts, {
      sessionTimeout: 15_000,
      operationTimeout: 30_000,
    });
    await using client = observed.client;
    await client.makePath('/s');
    await client.create('/s/mine', bytes(''), { ephemeral: true });
    const session = client.sessionId;
    const leader = await findServer(servers, 'Mode: leader');
    await leader.kill();
    expect((await retry(() => client.exists('/s/mine')))?.ephemeralOwner).toBe(session);
    // Without a quorum, the last server accepts no session.
    const [second, third] = servers.filter((server) => server !== leader) as [
      ZooKeeperServer,
      ZooKeeperServer,
    ];
    observed.states.dismiss();
    await second.kill();
    await observed.until('away');
    await second.spawn();
    await leader.spawn();
    await observed.until('connected');
    expect(await retry(() => client.exists('/s/mine'))).toMatchObject({
      ephemeralOwner: session,
    });
    expect(client.sessionId).toBe(session);
    await third.untilReady();
  });
});

/** Retries an operation, because several connections may be lost while servers restart. */
async function retry<T>(operation: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await operation();
    } catch (error) {
      expect(error).toMatchObject({ reason: 'CONNECTION_LOST' });
    }
  }
}

/** The server whose state has `text`. */
async function findServer(
  servers: readonly ZooKeeperServer[],
  text: string,
): Promise<ZooKeeperServer> {
  for (const server of servers) if ((await server.command('srvr')).includes(text)) return server;
  throw new Error(`no server has the state ${text}`);
}
