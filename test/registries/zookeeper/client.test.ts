/**
 * The ZooKeeper client by itself, on a real server: operations, watches, paths, limits,
 * permissions.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  digestId,
  PERMISSIONS,
  ZooKeeperClient,
  type ZooKeeperClientOptions,
} from '../../../src/registries/zookeeper/index.js';
import type { WatchEvent } from '../../../src/registries/zookeeper/types.js';
import { CLIENT_TLS, identity } from '../../fixtures/certificates.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { freePort } from '../../fixtures/ports.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse, Inbox, within } from '../../fixtures/waiting.js';
import {
  anyZooKeeper,
  startZooKeeper,
  type ZooKeeperServer,
} from '../../fixtures/zookeeper-server.js';

const TLS_FOLDER = new URL('../../fixtures/tls/', import.meta.url);
const bytes = (text: string): Buffer => Buffer.from(text);

describe('the ZooKeeper client', () => {
  noLeaks();
  noTimersLeft();
  let server: ZooKeeperServer;
  let clients: ZooKeeperClient[] = [];
  let base = '';
  let tests = 0;

  beforeAll(async () => {
    server = await anyZooKeeper();
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const client of clients) await client.close();
    clients = [];
  });

  /** A client whose every path is in a place of this test's own. */
  async function open(options: ZooKeeperClientOptions = {}): Promise<ZooKeeperClient> {
    base = `/client-${process.pid}-${++tests}`;
    const client = again(options);
    await client.makePath('/', { acl: 'anyone' });
    return client;
  }

  /** Another one in the same place. */
  function again(options: ZooKeeperClientOptions = {}): ZooKeeperClient {
    const client = new ZooKeeperClient(`${server.address}${base}`, {
      sessionTimeout: 4_000,
      ...options,
    });
    clients.push(client);
    return client;
  }

  it('creates, reads, changes, lists and deletes', async () => {
    const client = await open();
    await client.create('/a', bytes('one'));
    const first = await client.getData('/a');
    expect(first.data.toString()).toBe('one');
    expect(first.stat).toMatchObject({
      version: 0,
      cversion: 0,
      ephemeralOwner: 0n,
      dataLength: 3,
      numChildren: 0,
    });
    expect(Math.abs(first.stat.ctime - Date.now())).toBeLessThan(60_000);
    const changed = await client.setData('/a', bytes('other'), 0);
    expect(changed).toMatchObject({ version: 1, czxid: first.stat.czxid, dataLength: 5 });
    expect(changed.mzxid).toBeGreaterThan(first.stat.mzxid);
    await client.create('/a/x', bytes(''));
    await client.create('/a/组', bytes('y'), { ephemeral: true });
    expect((await client.getChildren('/a')).sort()).toEqual(['x', '组']);
    expect(await client.exists('/a/组')).toMatchObject({ ephemeralOwner: client.sessionId });
    expect(await client.exists('/a/y')).toBeUndefined();
    await client.delete('/a/x', 0);
    await client.sync('/a');
    expect(await server.testClient((testClient) => testClient.list(`${base}/a`))).toEqual(['组']);
  });

  it('the error of a refusal has its reason', async () => {
    const client = await open();
    await client.create('/a', bytes(''));
    await client.create('/a/b', bytes(''), { ephemeral: true });
    const cases: [Promise<unknown>, string][] = [
      [client.getData('/none'), 'NO_NODE'],
      [client.getChildren('/none'), 'NO_NODE'],
      [client.setData('/none', bytes('')), 'NO_NODE'],
      [client.delete('/none'), 'NO_NODE'],
      [client.create('/none/a', bytes('')), 'NO_NODE'],
      [client.create('/a', bytes('')), 'NODE_EXISTS'],
      [client.delete('/a', 7), 'BAD_VERSION'],
      [client.setData('/a', bytes(''), 7), 'BAD_VERSION'],
      [client.delete('/a'), 'NOT_EMPTY'],
      [client.create('/a/b/c', bytes('')), 'NO_CHILDREN_FOR_EPHEMERALS'],
      [client.create('/x', bytes(''), { acl: 'creator' }), 'INVALID_ACL'],
    ];
    for (const [outcome, reason] of cases)
      await expect(outcome).rejects.toMatchObject({ code: 'REGISTRY_FAILED', reason });
    await expect(client.getData('/none')).rejects.toThrow(`getData ${base}/none: NO_NODE`);
  });

  it('multi() does all operations or none, and fails with the reason of the failed operation', async () => {
    const client = await open();
    await client.create('/a', bytes('old'));
    await client.multi([
      { type: 'check', path: '/a', version: 0 },
      { type: 'delete', path: '/a', version: 0 },
      { type: 'create', path: '/a', data: bytes('new'), ephemeral: true },
      { type: 'setData', path: '/a', data: bytes('newer') },
    ]);
    const { data, stat } = await client.getData('/a');
    expect([data.toString(), stat.version, stat.ephemeralOwner]).toEqual([
      'newer',
      1,
      client.sessionId,
    ]);
    const failing = client.multi([
      { type: 'setData', path: '/a', data: bytes('never') },
      { type: 'delete', path: '/none' },
      { type: 'create', path: '/b', data: bytes('') },
    ]);
    await expect(failing).rejects.toMatchObject({
      reason: 'NO_NODE',
      message: expect.stringContaining(`delete ${base}/none`),
    });
    expect((await client.getData('/a')).data.toString()).toBe('newer');
    expect(await client.exists('/b')).toBeUndefined();
  });

  it('makePath() creates a path with its chroot, also in concurrent calls', async () => {
    base = `/client-${process.pid}-${++tests}/deep/er`;
    const [one, other] = [again(), again()];
    await Promise.all([one, other, one, other].map((client) => client.makePath('/a/b/c')));
    expect(await other.getChildren('/a/b')).toEqual(['c']);
    expect(await server.owner(`${base}/a/b/c`)).toBe(0n);
    expect(await one.getChildren('/')).toEqual(['a']);
  });

  it('closing the client deletes its ephemeral nodes at once', async () => {
    const [client, other] = [await open(), again()];
    await client.create('/a', bytes(''), { ephemeral: true });
    const gone = new Inbox<WatchEvent>('an event');
    await other.exists('/a', { watch: (event) => gone.push(event) });
    await client.close();
    expect(await gone.next()).toEqual({ type: 'deleted', path: '/a' });
  });

  it('a watch is called once, with the first event', async () => {
    const client = await open();
    const seen: string[] = [];
    const watch =
      (name: string) =>
      ({ type, path }: WatchEvent): void => {
        seen.push(`${name} ${type} ${path}`);
      };
    await client.exists('/a', { watch: watch('exists') });
    await expect(client.getData('/a', { watch: watch('never') })).rejects.toMatchObject({
      reason: 'NO_NODE',
    });
    await client.getChildren('/', { watch: watch('children') });
    await client.create('/a', bytes(''));
    await client.getData('/a', { watch: watch('data') });
    await client.exists('/a', { watch: watch('exists again') });
    await client.setData('/a', bytes('1'));
    await client.setData('/a', bytes('2'));
    await client.getData('/a', { watch: watch('data again') });
    await client.getChildren('/a', { watch: watch('children of a') });
    await client.delete('/a');
    await client.create('/a', bytes(''));
    // An answer arrives after the events of all earlier changes.
    await client.sync('/');
    expect(seen.sort()).toEqual(
      [
        'exists created /a',
        'children children /',
        'data changed /a',
        'exists again changed /a',
        'data again deleted /a',
        'children of a deleted /a',
      ].sort(),
    );
  });

  it('a watcher is called once however often it is set, not after unwatch(), and its error is a warning', async () => {
    const client = await open();
    const warnings = new Inbox<Error>('a warning');
    const onWarning = (warning: Error): void => warnings.push(warning);
    process.on('warning', onWarning);
    let calls = 0;
    const watch = (): void => {
      calls++;
      throw new Error('oops');
    };
    const never = (): void => expect.unreachable();
    await client.create('/a', bytes(''));
    for (let i = 0; i < 3; i++) await client.getData('/a', { watch });
    await client.exists('/a', { watch: never });
    await client.getChildren('/a', { watch: never });
    client.unwatch('/a', never);
    await client.delete('/a');
    expect(await warnings.next()).toMatchObject({
      code: 'HANDLER_FAILED',
      cause: { message: 'oops' },
    });
    process.off('warning', onWarning);
    expect(calls).toBe(1);
  });

  it('sends large values, and rejects a value over maxRequestBytes without closing the connection', async () => {
    const client = await open();
    const large = Buffer.alloc(1_000_000, 'x');
    const session = client.sessionId;
    await client.create('/a', large);
    const tooLarge = client.create('/b', Buffer.alloc(1_100_000));
    const read = client.getData('/a');
    await expect(tooLarge).rejects.toMatchObject({
      reason: 'NOT_SENT',
      message: expect.stringContaining('maxRequestBytes is 1048575'),
    });
    expect((await read).data.equals(large)).toBe(true);
    expect(client.sessionId).toBe(session);
  });

  it('an answer over maxResponseBytes only ends the connection', async () => {
    const client = await open({ maxResponseBytes: 10_000, initialDelay: 5 });
    await client.create('/a', Buffer.alloc(20_000));
    const outcome = await client.getData('/a').catch((error) => error);
    expect(outcome).toMatchObject({
      reason: 'CONNECTION_LOST',
      cause: { code: 'MESSAGE_TOO_LARGE' },
    });
    expect(await client.exists('/a')).toMatchObject({ dataLength: 20_000 });
  });

  it('rejects operations over maxPending', async () => {
    const client = await open({ maxPending: 10 });
    const outcomes = await Promise.allSettled(Array.from({ length: 25 }, () => client.exists('/')));
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refused.length).toBe(15);
    expect(refused[0]?.reason).toMatchObject({
      reason: 'NOT_SENT',
      message: expect.stringContaining('maxPending is 10'),
    });
    await client.exists('/');
  });

  it('does ten thousand operations at once', async () => {
    const client = await open({ operationTimeout: 60_000, sessionTimeout: 20_000 });
    const stats = await Promise.all(
      Array.from({ length: 10_000 }, (_, i) => client.exists(i % 2 === 0 ? '/' : '/none')),
    );
    expect(stats.filter((stat) => stat !== undefined).length).toBe(5_000);
  });

  it('a session without operations outlives its timeout', async () => {
    const client = await open({ sessionTimeout: 2_000 });
    await client.create('/a', bytes(''), { ephemeral: true });
    const events: WatchEvent[] = [];
    await client.exists('/a', { watch: (event) => events.push(event) });
    const session = client.sessionId;
    // The test waits for time to pass.
    await elapse(5_000);
    expect([client.state, client.sessionId, events]).toEqual(['connected', session, []]);
    expect(await server.owner(`${base}/a`)).toBe(session);
  });

  it("a creator's nodes are accessible only with the same credentials", async () => {
    const [client, other] = [await open({ credentials: 'me:secret' }), again()];
    await client.create('/mine', bytes('1'));
    await client.create('/open', bytes('1'), { acl: 'readable' });
    await expect(other.getData('/mine')).rejects.toMatchObject({ reason: 'NO_AUTH' });
    await expect(other.create('/mine/a', bytes(''))).rejects.toMatchObject({
      reason: 'NO_AUTH',
    });
    await expect(again({ credentials: 'me:wrong' }).getData('/mine')).rejects.toMatchObject({
      reason: 'NO_AUTH',
    });
    expect((await other.getData('/open')).data.toString()).toBe('1');
    await expect(other.setData('/open', bytes('2'))).rejects.toMatchObject({
      reason: 'NO_AUTH',
    });
    expect((await again({ credentials: 'me:secret' }).setData('/mine', bytes('2'))).version).toBe(
      1,
    );
    await client.delete('/mine');
    await client.delete('/open');
  });

  it('an ACL may name a user of the scheme "digest"', async () => {
    const client = await open();
    const acl = [
      {
        permissions: PERMISSIONS.read | PERMISSIONS.delete,
        scheme: 'digest',
        id: digestId('you', 'known'),
      },
    ];
    await client.create('/yours', bytes('1'), { acl });
    await expect(client.getData('/yours')).rejects.toMatchObject({ reason: 'NO_AUTH' });
    const you = again({ credentials: 'you:known' });
    expect((await you.getData('/yours')).data.toString()).toBe('1');
    await expect(you.setData('/yours', bytes('2'))).rejects.toMatchObject({ reason: 'NO_AUTH' });
  });

  it('operations without a server time out with the reason of the failed connection', async () => {
    const port = await freePort();
    const client = new ZooKeeperClient(`127.0.0.1:${port}`, {
      operationTimeout: 200,
      initialDelay: 5,
    });
    clients.push(client);
    await expect(client.exists('/')).rejects.toMatchObject({
      reason: 'OPERATION_TIMEOUT',
      cause: { code: 'CONNECT_FAILED' },
    });
    expect(client.state).toBe('away');
  });

  it('a closed client rejects operations, and an unused client does not connect', async () => {
    const client = await open();
    const pending = client.getData('/none').catch((error) => error.reason);
    const closing = client.close();
    await expect(client.exists('/')).rejects.toMatchObject({
      code: 'REGISTRY_FAILED',
      reason: 'CLOSED',
    });
    // Earlier operations are answered.
    expect(await pending).toBe('NO_NODE');
    await closing;
    await client.close();
    expect(client.state).toBe('closed');
    await within(again().close(), 'the end of an unused client');
  });

  it('rejects invalid arguments', async () => {
    const client = await open();
    for (const path of ['', 'a', '/a/', '//', '/a//b', '/./a', '/a/..', '/a\0', '/\ud800']) {
      await expect(client.getData(path), JSON.stringify(path)).rejects.toMatchObject({
        code: 'BAD_OPTION',
      });
    }
    for (const acl of ['nobody', [], [{}], [{ permissions: 32, scheme: 'world', id: 'anyone' }]]) {
      await expect(client.create('/a', bytes(''), { acl: acl as never })).rejects.toMatchObject({
        code: 'BAD_OPTION',
      });
    }
    const options: ZooKeeperClientOptions[] = [
      { sessionTimeout: 1 },
      { operationTimeout: Number.NaN },
      { maxPending: 0 },
      { maxRequestBytes: 1 },
      { credentials: 'secret' },
      { credentials: 1 as never },
      { onState: 1 as never },
      { tls: { ca: 'no such file' } },
    ];
    for (const given of options) {
      expect(() => new ZooKeeperClient('h:1', given)).toThrowError(
        expect.objectContaining({
          code: 'BAD_OPTION',
          message: expect.not.stringContaining('secret'),
        }),
      );
    }
    for (const hosts of [
      '',
      ',',
      'h:0',
      'h:65536',
      'h:x',
      'h/a//b',
      'a b:1',
      '::1',
      'user@h:1',
      'h?x=1',
      'h#x',
      undefined as never,
    ]) {
      expect(() => new ZooKeeperClient(hosts)).toThrowError(
        expect.objectContaining({ code: 'BAD_ADDRESS' }),
      );
    }
    for (const hosts of ['h', 'h:1', '[::1]:1, g', 'h:1,g:2/a/b', 'h:1/', 'h:1/a/'])
      expect(new ZooKeeperClient(hosts).state).toBe('connecting');
  });
});

describe('over TLS', () => {
  noLeaks();
  let server: ZooKeeperServer;
  let secure: number;

  async function keys(path: string): Promise<string[]> {
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
    secure = await freePort();
    server = await startZooKeeper(async (path) => [
      `secureClientPort=${secure}`,
      'secureClientPortAddress=127.0.0.1',
      'serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory',
      ...(await keys(path)),
      'ssl.clientAuth=need',
    ]);
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());

  it('client and server verify their certificates', async () => {
    await using client = new ZooKeeperClient(`127.0.0.1:${secure}`, {
      tls: { ...CLIENT_TLS, ...identity('client') },
      operationTimeout: 30_000,
      sessionTimeout: 30_000,
    });
    await client.create('/tls', bytes('x'.repeat(500_000)));
    expect((await client.getData('/tls')).data.length).toBe(500_000);
  });

  it.each([
    ['no client certificate', CLIENT_TLS],
    [
      'a client certificate of another authority',
      { ...CLIENT_TLS, ...identity('stranger-client') },
    ],
    [
      'a server certificate of another authority',
      { ca: identity('stranger').cert, ...identity('client') },
    ],
    [
      'another server name',
      { ...CLIENT_TLS, ...identity('client'), serverName: 'elsewhere.example' },
    ],
  ])('rejects the server or is rejected by it: %s', async (_, tls) => {
    await using client = new ZooKeeperClient(`127.0.0.1:${secure}`, {
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

  it('plain TCP to the TLS port and TLS to the plain port are an outage', async () => {
    for (const [port, tls] of [
      [secure, undefined],
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
});
