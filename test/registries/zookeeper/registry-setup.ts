/** One ZooKeeper server for the tests of a file, with a root and registries for each test. */
import { afterAll, afterEach, beforeAll } from 'vitest';
import { entryPath } from '../../../src/micro/registry-entry.js';
import type { Registry, ServiceNode } from '../../../src/micro/types.js';
import {
  type ZooKeeperRegistryOptions,
  zookeeper,
} from '../../../src/registries/zookeeper/index.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { until } from '../../fixtures/waiting.js';
import { Network } from '../../fixtures/zookeeper-network.js';
import { startZooKeeper, type ZooKeeperServer } from '../../fixtures/zookeeper-server.js';

/** The session timeout of a test that waits for the end of a session, in milliseconds. */
export const SHORT_SESSION = 2_000;
/** The session timeout of sessions that a busy machine must not lose, in milliseconds. */
export const LONG_SESSION = 8_000;

/** The server of all tests of a file. */
export let server: ZooKeeperServer;
/** The root of the entries of a test. */
export let root = '';
let lastRoot = 0;
let registries: Registry[] = [];
let proxies: Network[] = [];

/** Starts one ZooKeeper for all tests of a file, and disposes the registries of each test. */
export function useZooKeeper(): void {
  noLeaks();
  noTimersLeft();
  beforeAll(async () => {
    server = await startZooKeeper();
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());
  afterEach(async () => {
    for (const registry of registries) await registry[Symbol.asyncDispose]();
    for (const proxy of proxies) await proxy.close();
    registries = [];
    proxies = [];
  });
}

export function useRoot(path: string): void {
  root = path;
}

/** Uses a root that no other test uses. */
export function useNextRoot(): void {
  useRoot(`/registry-${++lastRoot}`);
}

/** Opens a registry at the root of the test. */
export function open(options?: ZooKeeperRegistryOptions, proxy?: Network): Registry {
  return openAt((proxy ?? server).address, { root, sessionTimeout: LONG_SESSION, ...options });
}

/** Opens a registry with these hosts and options only. */
export function openAt(hosts: string, options: ZooKeeperRegistryOptions): Registry {
  const registry = zookeeper(hosts, options);
  registries.push(registry);
  return registry;
}

/** Opens a proxy in front of the server. */
export async function openProxy(): Promise<Network> {
  const proxy = await Network.open(server.port);
  proxies.push(proxy);
  return proxy;
}

export const pathOf = (given: ServiceNode): string => entryPath(root, given);

/** The ids of the entries on the server, read without the code under test. */
export const publishedIds = async (): Promise<string[]> =>
  [...(await server.entries(root)).keys()].map((path) => path.split('/').at(-1) as string).sort();

export async function untilPublished(...ids: string[]): Promise<void> {
  let found: readonly string[] = [];
  await until(
    async () => {
      found = await publishedIds();
      return `${found}` === `${ids}`;
    },
    () => `the server has the entries [${ids}], it has [${found}]`,
  );
}
