/** One etcd server for the tests of a file, with a root and registries for each test. */
import { afterAll, afterEach, beforeAll } from 'vitest';
import { entryPath } from '../../../src/micro/registry-entry.js';
import type { Registry } from '../../../src/micro/types.js';
import { type EtcdOptions, etcd } from '../../../src/registries/etcd/index.js';
import { INSTALL_TIMEOUT } from '../../fixtures/debian.js';
import { EtcdServer } from '../../fixtures/etcd-server.js';
import { noLeaks } from '../../fixtures/leaks.js';
import { node } from '../../fixtures/registries.js';
import { TcpProxy } from '../../fixtures/tcp-proxy.js';
import { noTimersLeft } from '../../fixtures/timers.js';
import { until } from '../../fixtures/waiting.js';

/** Options with which an outage of etcd is noticed quickly. */
export const QUICK = {
  ttl: 4_000,
  pingInterval: 300,
  pingTimeout: 300,
  requestTimeout: 1_000,
  dialTimeout: 500,
  maxDelay: 300,
} satisfies EtcdOptions;
/** The server of all tests of a file. */
export let server: EtcdServer;
/** The root of the entries of a test. */
export let root = '';
let lastRoot = 0;
const cleanUps: (() => unknown)[] = [];
const registries: Registry[] = [];

/** Starts one etcd for all tests of a file. */
export function useEtcd(): void {
  beforeAll(async () => {
    server = await EtcdServer.started();
  }, INSTALL_TIMEOUT);
  afterAll(() => server.stop());
  useCleanUp();
}

/** Disposes all registries and runs all functions of cleanUpLater() after each test. */
export function useCleanUp(): void {
  noLeaks();
  noTimersLeft();
  afterEach(async () => {
    await Promise.all(registries.splice(0).map((registry) => registry[Symbol.asyncDispose]()));
    for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  });
}

export function cleanUpLater(cleanUp: () => unknown): void {
  cleanUps.push(cleanUp);
}

export function useRoot(path: string): void {
  root = path;
}

/** Uses a root that no other test uses. */
export function useNextRoot(): void {
  useRoot(`/test-${++lastRoot}`);
}

/** Opens a registry at the root of the test. */
export function open(
  options: EtcdOptions = {},
  endpoints: string | string[] = server.endpoint,
): Registry {
  const registry = etcd(endpoints, { ...QUICK, root, ...options });
  registries.push(registry);
  return registry;
}

/** Opens a proxy in front of the server. */
export async function openProxy(): Promise<TcpProxy & { readonly endpoint: string }> {
  const proxy = await TcpProxy.to(server);
  cleanUpLater(() => proxy.close());
  return Object.assign(proxy, { endpoint: `http://127.0.0.1:${proxy.port}` });
}

export const pathOf = (id: string): string => entryPath(root, node(id));

/** Waits until the entry of `id` has this value. */
export async function untilValue(id: string, value: string | undefined): Promise<void> {
  let entries = new Map<string, string>();
  await until(
    async () => {
      entries = await server.entries(root);
      return entries.get(pathOf(id)) === value;
    },
    () => `${pathOf(id)} is ${value}, the entries are ${[...entries]}`,
  );
}
