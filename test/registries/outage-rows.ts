/** The registries with a server, for the table of outages. */
import type { RegistryOptions } from '../../src/registries/index.js';
import { EtcdServer } from '../fixtures/etcd-server.js';
import type { RegistryServer } from '../fixtures/registry-server.js';
import { createZooKeeper, type ZooKeeperServer } from '../fixtures/zookeeper-server.js';

/** The root of all entries. */
export const ROOT = '/getty';

interface Host {
  readonly host: string;
  readonly port: number;
}

export interface OutageRow {
  readonly name: string;
  /** Creates a server that is not started. */
  createServer(): Promise<RegistryServer>;
  /** The URL of a registry at these hosts. */
  url(hosts: readonly Host[]): string;
  /** Options for a lease or session of `ttl` ms that notice a frozen server within that time. */
  options(ttl: number): RegistryOptions;
  /**
   * Log lines of an outage, besides those that the registry cannot be reached and answers again.
   */
  readonly outageMessage?: RegExp;
  /** The text of the log line about an entry at this path, which is not below any attributes. */
  foreignEntryText(path: string): string;
  /** With `waitForRegistry: false` and without a server, a watch fails. Otherwise it waits. */
  readonly watchFails: boolean;
  /** Ways to delete the entries of the providers, by name. */
  readonly deletions: Readonly<Record<string, (server: RegistryServer) => Promise<void>>>;
}

const hostList = (hosts: readonly Host[]): string =>
  hosts.map(({ host, port }) => `${host}:${port}`).join(',');

async function deleteEntries(server: RegistryServer): Promise<void> {
  for (const path of (await server.entries(ROOT)).keys()) await server.remove(path);
}

export const OUTAGE_ROWS: readonly OutageRow[] = [
  {
    name: 'etcd',
    createServer: () => EtcdServer.create(),
    url: (hosts) => `etcd://${hostList(hosts)}${ROOT}`,
    options: (ttl) => ({
      ttl,
      pingInterval: ttl / 4,
      pingTimeout: ttl / 4,
      requestTimeout: ttl / 3,
      dialTimeout: ttl / 4,
    }),
    foreignEntryText: (path) => path,
    watchFails: true,
    deletions: {
      async 'a revoked lease'(server) {
        const etcd = server as EtcdServer;
        for (const lease of await etcd.leases()) await etcd.revoke(lease);
      },
      'a deleted entry': deleteEntries,
    },
  },
  {
    name: 'zookeeper',
    createServer: () => createZooKeeper(),
    url: (hosts) => `zookeeper://${hostList(hosts)}${ROOT}`,
    options: (ttl) => ({
      ttl,
      requestTimeout: ttl / 3,
      sessionTimeout: ttl,
      settleTime: ttl / 2,
      operationTimeout: ttl / 3,
    }),
    outageMessage: /the ZooKeeper session has expired/,
    // The registry checks the name of the attributes, and not the entries below it.
    foreignEntryText: (path) => path.split('/')[0] as string,
    watchFails: false,
    deletions: {
      async 'an ended session'(server) {
        const zooKeeper = server as ZooKeeperServer;
        for (const path of (await server.entries(ROOT)).keys()) {
          const owner = await zooKeeper.owner(path);
          if (owner !== undefined) await zooKeeper.expire(owner);
        }
      },
      'a deleted entry': deleteEntries,
    },
  },
];
