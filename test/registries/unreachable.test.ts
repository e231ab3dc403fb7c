/**
 * A registry that cannot be reached is reported in the errors of calls, by explain(), by the
 * provider, and once as a warning of the process.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { consume, provide, type Registry, type ServiceNode } from '../../src/micro/index.js';
import { etcd } from '../../src/registries/etcd/index.js';
import { file } from '../../src/registries/file/index.js';
import { zookeeper } from '../../src/registries/zookeeper/index.js';
import { contract, implement, unary } from '../../src/rpc/index.js';
import { INSTALL_TIMEOUT } from '../fixtures/debian.js';
import { EtcdServer } from '../fixtures/etcd-server.js';
import { noLeaks } from '../fixtures/leaks.js';
import { RecordingLogger } from '../fixtures/registries.js';
import type { RegistryServer } from '../fixtures/registry-server.js';
import { noTimersLeft } from '../fixtures/timers.js';
import { until } from '../fixtures/waiting.js';
import { createZooKeeper } from '../fixtures/zookeeper-server.js';

const Greeter = contract('Greeter', { hello: unary<string, string>() });
const services = [implement(Greeter, { hello: (name) => `hello ${name}` })];

/** The codes and messages of an error and of its causes. */
function causesOf(error: unknown): string {
  const { code, message, cause } = error as { code?: unknown; message?: unknown; cause?: unknown };
  return `${code}: ${message}${cause === undefined ? '' : ` < ${causesOf(cause)}`}`;
}

const ABSENT: readonly (readonly [
  name: string,
  address: string,
  reason: RegExp,
  open: (logger?: RecordingLogger) => Registry,
])[] = [
  ['etcd', '127.0.0.1:1', /ECONNREFUSED/, (logger) => etcd('http://127.0.0.1:1', { logger })],
  ['zookeeper', '127.0.0.1:1', /ECONNREFUSED/, (logger) => zookeeper('127.0.0.1:1', { logger })],
  ['file', '/no/such/directory', /ENOENT/, (logger) => file('/no/such/directory', { logger })],
];

describe.each(ABSENT)('an absent %s registry', (_, address, reason, open) => {
  noLeaks();
  noTimersLeft();
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  beforeEach(() => void process.on('warning', onWarning));
  afterEach(() => {
    process.off('warning', onWarning);
    warnings.length = 0;
  });

  it('is named with the reason by the error of a call and by explain()', async () => {
    await using registry = open(new RecordingLogger());
    await using consumer = consume({ registry, timeout: 1_000 });
    const error = await consumer
      .stub(Greeter)
      .hello('a')
      .catch((failure: unknown) => failure);
    expect(causesOf(error)).toContain(address);
    expect(causesOf(error)).toMatch(reason);
    const { registryFailure } = await consumer.explain(Greeter);
    expect(registryFailure).toContain(address);
    expect(registryFailure).toMatch(reason);
    await expect(registry.list()).rejects.toMatchObject({
      code: 'REGISTRY_FAILED',
      message: expect.stringContaining(address),
    });
  });

  it('causes one warning of the process without a logger, and none with a logger', async () => {
    await using logged = open(new RecordingLogger());
    await using registry = open();
    await using loggedConsumer = consume({ registry: logged, timeout: 500 });
    await using consumer = consume({ registry, timeout: 500 });
    for (const one of [loggedConsumer, consumer, consumer])
      await expect(one.stub(Greeter).hello('a')).rejects.toThrow();
    await until(() => warnings.length > 0, 'a warning');
    expect(warnings.map(({ message }) => message)).toEqual([expect.stringContaining(address)]);
    expect(warnings[0]).toMatchObject({ code: 'REGISTRY_FAILED', cause: expect.anything() });
  });
});

describe('a server that accepts connections and is silent', () => {
  noLeaks();
  let silent: Server;
  const sockets = new Set<Socket>();
  let port = 0;
  beforeEach(async () => {
    silent = createServer((socket) => sockets.add(socket.on('error', () => {})));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    ({ port } = silent.address() as { port: number });
  });

  it.each([
    ['etcd', (): Registry => etcd(`http://127.0.0.1:${port}`, { logger: new RecordingLogger() })],
    [
      'zookeeper',
      (): Registry => zookeeper(`127.0.0.1:${port}`, { logger: new RecordingLogger() }),
    ],
  ])(
    'is named by the error of a call to %s before any time limit of the registry ends',
    async (_, open) => {
      await using registry = open();
      await using consumer = consume({ registry, timeout: 300 });
      const error = await consumer
        .stub(Greeter)
        .hello('a')
        .catch((failure: unknown) => failure);
      expect(causesOf(error)).toContain(`127.0.0.1:${port}`);
      for (const socket of sockets) socket.destroy();
      silent.close();
    },
  );
});

const SERVERS: readonly (readonly [
  name: string,
  create: () => Promise<RegistryServer>,
  open: (at: RegistryServer) => Registry,
])[] = [
  [
    'etcd',
    () => EtcdServer.create(),
    (at) => etcd(`http://${at.host}:${at.port}`, { ttl: 1_000, logger: new RecordingLogger() }),
  ],
  [
    'zookeeper',
    () => createZooKeeper(),
    (at) =>
      zookeeper(`${at.host}:${at.port}`, { sessionTimeout: 1_000, logger: new RecordingLogger() }),
  ],
];

describe.each(SERVERS)('a provider on %s', (_, create, open) => {
  it('reports no node as published before the registry appears, and all of them afterwards', {
    timeout: INSTALL_TIMEOUT,
  }, async () => {
    const server = await create();
    try {
      await using registry = open(server);
      const published: (readonly ServiceNode[])[] = [];
      await using provider = await provide({
        registry,
        address: 'tcp://127.0.0.1:0',
        services,
        onPublish: (nodes) => published.push(nodes),
      });
      expect(provider.nodes.length).toBe(1);
      expect(provider.published).toEqual([]);
      expect(published).toEqual([[]]);
      await server.start();
      await until(() => published.length >= 2, 'onPublish is called again');
      expect(provider.published).toEqual(provider.nodes);
      expect(published[1]).toEqual(provider.nodes);
      expect((await registry.list()).map(({ address }) => address)).toEqual([provider.address]);
    } finally {
      await server.stop();
    }
  });

  it.each(['kill', 'freeze'] as const)(
    'rejects drain() until its entry is removed, after the %s of its registry',
    { timeout: INSTALL_TIMEOUT },
    async (fault) => {
      const server = await create();
      await server.start();
      try {
        await using registry = open(server);
        await using provider = await provide({ registry, address: 'tcp://127.0.0.1:0', services });
        await until(() => provider.state === 'published', 'the node is published');
        if (fault === 'kill') await server.kill();
        else await server.freeze();
        await expect(provider.drain()).rejects.toMatchObject({ code: 'REGISTRY_FAILED' });
        expect([provider.state, provider.published.length]).toEqual(['draining', 1]);
        if (fault === 'kill') await server.start();
        else server.thaw();
        const isDrained = (): Promise<boolean> =>
          provider.drain().then(
            () => true,
            () => false,
          );
        await until(isDrained, 'the entry is removed');
        expect(provider.published).toEqual([]);
        // The registry may still wait for its next attempt to connect.
        const list = (): Promise<unknown> => registry.list().catch((error: unknown) => error);
        await until(async () => Array.isArray(await list()), 'the registry is connected');
        expect(await list()).toEqual([]);
      } finally {
        await server.stop();
      }
    },
  );
});
