/** The ZooKeeper client with TLS, credentials and access control lists. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  digestId,
  PERMISSIONS,
  ZooKeeperClient,
  type ZooKeeperClientOptions,
} from '../../../src/registries/zookeeper/index.js';
import { CLIENT_TLS, identity } from '../../fixtures/certificates.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freePort } from '../../fixtures/ports.js';
import { startZooKeeper, type ZooKeeperServer } from '../../fixtures/zookeeper-server.js';

const TLS_FOLDER = new URL('../../fixtures/tls/', import.meta.url);
const bytes = (text: string): Buffer => Buffer.from(text);

describe('the ZooKeeper client', () => {
  noLeaks();
  let server: ZooKeeperServer;
  let securePort: number;

  /** Writes the keys of the server to `path`. Returns the lines of its configuration. */
  async function writeKeys(path: string): Promise<string[]> {
    await writeFile(
      join(path, 'server.pem'),
      Buffer.concat([
        await readFile(new URL('server.key.pem', TLS_FOLDER)),
        await readFile(new URL('server.pem', TLS_FOLDER)),
      ]),
    );
    await writeFile(
      join(path, 'authority.pem'),
      await readFile(new URL('authority.pem', TLS_FOLDER)),
    );
    return [
      `ssl.keyStore.location=${path}/server.pem`,
      `ssl.trustStore.location=${path}/authority.pem`,
    ];
  }

  beforeAll(async () => {
    securePort = await freePort();
    server = await startZooKeeper(async (path) => [
      `secureClientPort=${securePort}`,
      'secureClientPortAddress=127.0.0.1',
      'serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory',
      ...(await writeKeys(path)),
      'ssl.clientAuth=need',
    ]);
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());

  const clients: ZooKeeperClient[] = [];
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.close();
  });

  /** Opens a client without TLS. */
  function open(options: ZooKeeperClientOptions = {}): ZooKeeperClient {
    const client = new ZooKeeperClient(server.address, { sessionTimeout: 4_000, ...options });
    clients.push(client);
    return client;
  }

  it('connects when client and server accept the certificates', async () => {
    await using client = new ZooKeeperClient(`127.0.0.1:${securePort}`, {
      tls: { ...CLIENT_TLS, ...identity('client') },
      operationTimeout: 30_000,
      sessionTimeout: 30_000,
    });
    await client.create('/tls', bytes('x'.repeat(500_000)));
    expect((await client.getData('/tls')).data.length).toBe(500_000);
  });

  it.each([
    ['no client certificate', CLIENT_TLS],
    ['a client certificate of another authority', { ...CLIENT_TLS, ...identity('other-client') }],
    [
      'a server certificate of another authority',
      { ca: identity('other-authority').cert, ...identity('client') },
    ],
    [
      'another server name',
      { ...CLIENT_TLS, ...identity('client'), serverName: 'elsewhere.example' },
    ],
  ])('does not connect with %s', async (_, tls) => {
    await using client = new ZooKeeperClient(`127.0.0.1:${securePort}`, {
      tls,
      operationTimeout: 1_000,
      initialDelay: 10,
    });
    await expect(client.exists('/')).rejects.toMatchObject({
      reason: 'OPERATION_TIMEOUT',
      cause: expect.any(Error),
    });
    expect(client.sessionId).toBe(0n);
  });

  it('does not connect to the TLS port without TLS, or to the plain port with TLS', async () => {
    for (const [port, tls] of [
      [securePort, undefined],
      [server.port, CLIENT_TLS],
    ] as const) {
      await using client = new ZooKeeperClient(`127.0.0.1:${port}`, {
        tls,
        operationTimeout: 300,
        sessionTimeout: 400,
      });
      await expect(client.exists('/')).rejects.toMatchObject({ reason: 'OPERATION_TIMEOUT' });
    }
  });

  it('gives access to the nodes of a creator only with the same credentials', async () => {
    const [client, other] = [open({ credentials: 'me:secret' }), open()];
    await client.create('/mine', bytes('1'));
    await client.create('/open', bytes('1'), { acl: 'readable' });
    await expect(other.getData('/mine')).rejects.toMatchObject({ reason: 'NO_AUTH' });
    await expect(other.create('/mine/a', bytes(''))).rejects.toMatchObject({
      reason: 'NO_AUTH',
    });
    await expect(open({ credentials: 'me:wrong' }).getData('/mine')).rejects.toMatchObject({
      reason: 'NO_AUTH',
    });
    expect((await other.getData('/open')).data.toString()).toBe('1');
    await expect(other.setData('/open', bytes('2'))).rejects.toMatchObject({
      reason: 'NO_AUTH',
    });
    expect((await open({ credentials: 'me:secret' }).setData('/mine', bytes('2'))).version).toBe(1);
    await client.delete('/mine');
    await client.delete('/open');
  });

  it('accepts an ACL with a user of the scheme "digest"', async () => {
    const client = open();
    const acl = [
      {
        permissions: PERMISSIONS.read | PERMISSIONS.delete,
        scheme: 'digest',
        id: digestId('you', 'known'),
      },
    ];
    await client.create('/yours', bytes('1'), { acl });
    await expect(client.getData('/yours')).rejects.toMatchObject({ reason: 'NO_AUTH' });
    const you = open({ credentials: 'you:known' });
    expect((await you.getData('/yours')).data.toString()).toBe('1');
    await expect(you.setData('/yours', bytes('2'))).rejects.toMatchObject({ reason: 'NO_AUTH' });
  });
});
