/** The ZooKeeper client on a real server: operations, watches, paths and limits. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  ZooKeeperClient,
  type ZooKeeperClientOptions,
} from '../../../src/registries/zookeeper/index.js';
import type { WatchEvent } from '../../../src/registries/zookeeper/types.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { elapse, Inbox, within } from '../../fixtures/waiting.js';
import { sharedZooKeeper, type ZooKeeperServer } from '../../fixtures/zookeeper-server.js';

const bytes = (text: string): Buffer => Buffer.from(text);

describe('the ZooKeeper client', () => {
  noLeaks();
  noTimersLeft();
  let server: ZooKeeperServer;
  let clients: ZooKeeperClient[] = [];
  let base = '';
  let tests = 0;

  beforeAll(async () => {
    server = await sharedZooKeeper();
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const client of clients) await client.close();
    clients = [];
  });

  /** Opens a client whose chroot no other test uses. */
  async function open(options: ZooKeeperClientOptions = {}): Promise<ZooKeeperClient> {
    base = `/client-${process.pid}-${++tests}`;
    const client = openOther(options);
    await client.makePath('/', { acl: 'anyone' });
    return client;
  }

  /** Opens another client with the same chroot. */
  function openOther(options: ZooKeeperClientOptions = {}): ZooKeeperClient {
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

  it('rejects an operation that the server refuses with its reason', async () => {
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
    const [one, other] = [openOther(), openOther()];
    await Promise.all([one, other, one, other].map((client) => client.makePath('/a/b/c')));
    expect(await other.getChildren('/a/b')).toEqual(['c']);
    expect(await server.owner(`${base}/a/b/c`)).toBe(0n);
    expect(await one.getChildren('/')).toEqual(['a']);
  });

  it('deletes its ephemeral nodes at once when it is closed', async () => {
    const [client, other] = [await open(), openOther()];
    await client.create('/a', bytes(''), { ephemeral: true });
    const events = new Inbox<WatchEvent>('an event');
    await other.exists('/a', { watch: (event) => events.push(event) });
    await client.close();
    expect(await events.next()).toEqual({ type: 'deleted', path: '/a' });
  });

  it('calls a watch once, with the first event', async () => {
    const client = await open();
    const events: string[] = [];
    const watch =
      (name: string) =>
      ({ type, path }: WatchEvent): void => {
        events.push(`${name} ${type} ${path}`);
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
    // Events arrive before the answers of later requests.
    await client.sync('/');
    expect(events.sort()).toEqual(
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

  it('calls a watcher once that is set several times, not after unwatch(), and warns of its error', async () => {
    const client = await open();
    const warnings = new Inbox<Error>('a warning');
    const onWarning = (warning: Error): void => warnings.push(warning);
    process.on('warning', onWarning);
    let calls = 0;
    const watch = (): void => {
      calls++;
      throw new Error('the watcher failed');
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
      cause: { message: 'the watcher failed' },
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

  it('closes the connection and continues the session after an answer over maxResponseBytes', async () => {
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

  it('makes ten thousand operations at once', async () => {
    const client = await open({ operationTimeout: 60_000, sessionTimeout: 20_000 });
    const stats = await Promise.all(
      Array.from({ length: 10_000 }, (_, i) => client.exists(i % 2 === 0 ? '/' : '/none')),
    );
    expect(stats.filter((stat) => stat !== undefined).length).toBe(5_000);
  });

  it('keeps a session without operations for longer than its timeout', async () => {
    const client = await open({ sessionTimeout: 2_000 });
    await client.create('/a', bytes(''), { ephemeral: true });
    const events: WatchEvent[] = [];
    await client.exists('/a', { watch: (event) => events.push(event) });
    const session = client.sessionId;
    await elapse(5_000);
    expect([client.state, client.sessionId, events]).toEqual(['connected', session, []]);
    expect(await server.owner(`${base}/a`)).toBe(session);
  });

  it('rejects operations after close(), and close() of an unused client does not connect', async () => {
    const client = await open();
    const pending = client.getData('/none').catch((error) => error.reason);
    const closing = client.close();
    await expect(client.exists('/')).rejects.toMatchObject({
      code: 'REGISTRY_FAILED',
      reason: 'CLOSED',
    });
    // Operations before close() are answered.
    expect(await pending).toBe('NO_NODE');
    await closing;
    await client.close();
    expect(client.state).toBe('closed');
    await within(openOther().close(), 'the end of an unused client');
  });
});
