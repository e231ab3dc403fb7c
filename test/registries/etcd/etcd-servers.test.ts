/** The etcd registry with servers that are faulty or are replaced, and invalid options. */
import { once } from 'node:events';
import { createServer, type Http2Server } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { describe, expect, it } from 'vitest';
import { entryPath, entryValue } from '../../../src/micro/registry-entry.js';
import { type EtcdOptions, etcd } from '../../../src/registries/etcd/index.js';
import { EtcdServer } from '../../fixtures/etcd-server.js';
import { isPending, node, RecordingLogger, WatchReader } from '../../fixtures/registries.js';
import { TcpProxy } from '../../fixtures/tcp-proxy.js';
import { elapse, within } from '../../fixtures/waiting.js';
import { cleanUpLater, open, useCleanUp, useNextRoot, useRoot } from './etcd-setup.js';

describe('the etcd registry', () => {
  useCleanUp();

  it.each<[string, () => Server | Http2Server]>([
    [
      'resets every request',
      () => createServer().on('stream', (stream) => stream.on('error', () => {}).close(1)),
    ],
    [
      'answers without gRPC',
      () =>
        createServer().on('stream', (stream) =>
          stream.on('error', () => {}).respond({ ':status': 200 }, { endStream: true }),
        ),
    ],
    [
      'ends every request with an error',
      () =>
        createServer().on('stream', (stream) =>
          stream
            .on('error', () => {})
            .respond(
              { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '14' },
              { endStream: true },
            ),
        ),
    ],
    [
      'grants leases of 0 s',
      () =>
        createServer().on('stream', (stream, headers) => {
          stream.on('error', () => {});
          if (headers[':path'] !== '/etcdserverpb.Lease/LeaseGrant') return;
          stream
            .on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
            .respond(
              { ':status': 200, 'content-type': 'application/grpc+proto' },
              { waitForTrailers: true },
            );
          // The id 7, and no TTL.
          stream.end(Buffer.from([0, 0, 0, 0, 2, 0x10, 7]));
        }),
    ],
    [
      'does not support HTTP/2',
      () =>
        createTcpServer((socket) =>
          socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
        ),
    ],
    [
      'never answers',
      () => createTcpServer((socket) => void socket.on('error', () => {}).resume()),
    ],
  ])('treats a server that %s as unreachable, and makes few requests', async (_, make) => {
    useNextRoot();
    let connections = 0;
    const sockets = new Set<{ destroy(): void }>();
    const faultyServer = make() as Server;
    faultyServer.on('connection', (socket) => {
      connections++;
      sockets.add(socket);
    });
    await once(faultyServer.listen(0, '127.0.0.1'), 'listening');
    cleanUpLater(async () => {
      for (const socket of sockets) socket.destroy();
      faultyServer.close();
      await once(faultyServer, 'close');
    });
    const log = new RecordingLogger();
    const registry = open(
      { logger: log },
      `http://127.0.0.1:${(faultyServer.address() as AddressInfo).port}`,
    );
    await using watch = new WatchReader(registry);
    const next = watch.next();
    await registry.register(node('a'));
    await log.waitFor('trying again');
    const cpu = process.cpuUsage();
    const [before, start] = [connections, performance.now()];
    await elapse(1_000);
    const { user, system } = process.cpuUsage(cpu);
    const elapsed = performance.now() - start;
    expect((user + system) / 1_000).toBeLessThan(elapsed / 2);
    expect(connections - before).toBeLessThan(20 * (elapsed / 1_000));
    expect(await isPending(next)).toBe(true);
    expect(log.lines.length).toBe(1);
  });

  it('reads all entries again if etcd is replaced by an older copy with the same revisions', async () => {
    const older = await EtcdServer.started();
    cleanUpLater(() => older.stop());
    const copied = await EtcdServer.started();
    cleanUpLater(() => copied.stop());
    const put = (to: EtcdServer, port: number): Promise<void> => {
      const entry = node('a', { address: `tcp://127.0.0.1:${port}` });
      return to.put(entryPath('/copy', entry), entryValue(entry));
    };
    await put(older, 1);
    await put(copied, 2);
    const proxy = await TcpProxy.to(older);
    cleanUpLater(() => proxy.close());
    useRoot('/copy');
    const registry = open({ ttl: 1_000 }, `http://127.0.0.1:${proxy.port}`);
    await using watch = new WatchReader(registry);
    await watch.until(([first]) => first?.address === 'tcp://127.0.0.1:1', 'the first address');
    // This registry writes at a revision that the copy has not reached.
    for (let i = 0; i < 5; i++) await registry.register(node('b', { metadata: { i: `${i}` } }));
    proxy.retarget(copied);
    proxy.cut();
    const inCopy = await watch.until(
      ([first]) => first?.address === 'tcp://127.0.0.1:2',
      'the address in the copy',
    );
    await using second = new WatchReader(registry);
    expect((await within(second.next(), 'the first list'))?.[0]?.address).toBe('tcp://127.0.0.1:2');
    // The registry may have written its node again before the entries were read.
    if (inCopy.length < 2)
      await watch.until((nodes) => nodes.length === 2, 'the node of this registry');
  });

  it('rejects invalid options, and hides passwords', () => {
    const bad: [string | string[], EtcdOptions][] = [
      ['', {}],
      [[], {}],
      ['tcp://127.0.0.1:1', {}],
      ['127.0.0.1', {}],
      ['http://127.0.0.1:0', {}],
      ['http://user:secret@127.0.0.1:1', {}],
      [['http://127.0.0.1:1', 'https://127.0.0.1:2'], {}],
      ['http://127.0.0.1:1', { tls: {} }],
      ['https://127.0.0.1:1', { tls: { ca: 'no certificate' } }],
      ['http://127.0.0.1:1', { ttl: 1 }],
      ['http://127.0.0.1:1', { root: 'getty' }],
      ['http://127.0.0.1:1', { root: '/a b' }],
      ['http://127.0.0.1:1', { password: 'secret' }],
      ['http://127.0.0.1:1', { username: 'me' }],
      ['http://127.0.0.1:1', { username: '', password: 'secret' }],
      ['http://127.0.0.1:1', { waitForRegistry: 1 as never }],
    ];
    for (const [endpoints, options] of bad) {
      const message = expect.not.stringContaining('secret');
      expect(
        () => etcd(endpoints, options),
        `${endpoints} ${JSON.stringify(options)}`,
      ).toThrowError(expect.objectContaining({ code: 'BAD_OPTION', message }));
    }
  });
});
