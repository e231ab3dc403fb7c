/** The registry of a cell: its servers or its directory, and how processes reach it. */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type FaultProxy, proxy } from '../../src/testing/proxy/index.js';
import { EtcdServer, etcdCluster } from '../fixtures/etcd-server.js';
import {
  createZooKeeper,
  startEnsemble,
  startZooKeeper,
  type ZooKeeperServer,
} from '../fixtures/zookeeper-server.js';
import { type Cell, SkipCell } from './cell.js';

export const run = promisify(execFile);

/** Correct for the bundle of `npm run grid` too: both are two folders below the root. */
export const TLS_FOLDER = fileURLToPath(new URL('../../test/fixtures/tls/', import.meta.url));

/** Milliseconds. Short, so that a fault of 5 s is longer than a lease and a session. */
export const TTL = 4_000;
/** A process on a busy machine may need this long to publish its entry again. */
const SETTLE_TIME = 10_000;
const OPTIONS = {
  ttl: TTL,
  sessionTimeout: TTL,
  settleTime: SETTLE_TIME,
  pingInterval: 1_000,
  pingTimeout: 1_000,
};
const SMALL_DISK = 64 * 1024;

export interface RegistrySetup {
  readonly url: string;
  readonly options: object;
  /** Empty: a directory. */
  readonly servers: readonly (EtcdServer | ZooKeeperServer)[];
  /** Between the processes and the only server. */
  readonly proxy?: FaultProxy;
  /** The directory of the file registry. */
  readonly directory?: string;
  /** The folder of certificates of a server with TLS. */
  readonly certificates?: string;
  stop(): Promise<void>;
}

/** Servers that all cells of a run share whose fault is elsewhere. */
export class SharedServers {
  #etcd: Promise<EtcdServer> | undefined;
  #zooKeeper: Promise<ZooKeeperServer> | undefined;

  etcd(): Promise<EtcdServer> {
    this.#etcd ??= EtcdServer.started();
    return this.#etcd;
  }

  zooKeeper(): Promise<ZooKeeperServer> {
    this.#zooKeeper ??= startZooKeeper();
    return this.#zooKeeper;
  }

  async stop(): Promise<void> {
    await (await this.#etcd)?.stop();
    await (await this.#zooKeeper)?.stop();
  }
}

/** `folder`: the folder of the cell. `id`: unique in the run. */
export async function setUpRegistry(
  cell: Cell,
  folder: string,
  id: string,
  shared: SharedServers,
): Promise<RegistrySetup> {
  const { registry, where } = cell;
  if (registry.startsWith('file')) return setUpDirectory(cell, folder);
  const root = `/grid-${id}`;
  if (where !== 'registry') {
    const server = registry === 'etcd' ? await shared.etcd() : await shared.zooKeeper();
    return { url: server.url(root), options: OPTIONS, servers: [], stop: async () => {} };
  }
  if (registry === 'etcd with TLS') return setUpSecureEtcd(folder, root);
  const servers = await startServers(cell);
  const ports = servers.map(({ port }) => port);
  const stop = async (): Promise<void> => {
    for (const server of servers) await server.stop();
  };
  const scheme = registry.startsWith('etcd') ? 'etcd' : 'zookeeper';
  const url = (to: readonly number[]): string =>
    `${scheme}://${to.map((port) => `127.0.0.1:${port}`).join(',')}${root}`;
  if (servers.length > 1) return { url: url(ports), options: OPTIONS, servers, stop };
  const between = await proxy(`tcp://127.0.0.1:${ports[0]}`);
  return {
    url: url([Number(new URL(between.address).port)]),
    options: OPTIONS,
    servers,
    proxy: between,
    async stop() {
      await between.close();
      await stop();
    },
  };
}

async function startServers({
  registry,
}: Cell): Promise<readonly (EtcdServer | ZooKeeperServer)[]> {
  switch (registry) {
    case 'etcd':
      return [await EtcdServer.started()];
    case 'etcd cluster':
      return etcdCluster(3);
    case 'ZooKeeper ensemble':
      // A server without a quorum then serves clients that accept a read-only one.
      process.env.JAVA_TOOL_OPTIONS = '-Dreadonlymode.enabled=true';
      return startEnsemble(3);
    default: {
      const server = await createZooKeeper();
      await server.start();
      return [server];
    }
  }
}

async function setUpDirectory({ registry }: Cell, folder: string): Promise<RegistrySetup> {
  const disk = join(folder, 'disk');
  await mkdir(disk);
  const isMounted = registry === 'file on a small disk';
  if (isMounted) await mount(disk);
  const directory = join(disk, 'registry');
  await mkdir(directory);
  return {
    url: `file://${directory}`,
    options: OPTIONS,
    servers: [],
    directory,
    async stop() {
      if (isMounted) await run('umount', [disk]);
    },
  };
}

async function mount(folder: string): Promise<void> {
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_DISK}`, 'tmpfs', folder]);
  } catch (error) {
    throw new SkipCell(`this process cannot mount a tmpfs: ${(error as Error).message.trim()}`);
  }
}

async function setUpSecureEtcd(folder: string, root: string): Promise<RegistrySetup> {
  const certificates = join(folder, 'tls');
  await mkdir(certificates);
  await useCertificate(certificates, 'server');
  const flags = [
    '--cert-file',
    `${certificates}/cert.pem`,
    '--key-file',
    `${certificates}/key.pem`,
  ];
  const server = await EtcdServer.started({ secure: true, flags });
  return {
    url: `etcds://127.0.0.1:${server.port}${root}`,
    options: { ...OPTIONS, tls: { ca: `${TLS_FOLDER}authority.pem` } },
    servers: [server],
    certificates,
    stop: () => server.stop(),
  };
}

/** Makes the certificate `name` of test/fixtures/tls the one of `folder`. */
export async function useCertificate(
  folder: string,
  name: 'server' | 'server2' | 'expired',
): Promise<void> {
  if (name === 'expired') return makeExpiredCertificate(folder);
  await copyFile(`${TLS_FOLDER}${name}.key.pem`, join(folder, 'key.pem'));
  await copyFile(`${TLS_FOLDER}${name}.pem`, join(folder, 'cert.pem'));
}

/** A certificate of the first authority that has expired yesterday, for the present key. */
async function makeExpiredCertificate(folder: string): Promise<void> {
  const request = join(folder, 'request.pem');
  const serial = join(folder, 'serial');
  try {
    await run('openssl', [
      'req',
      '-new',
      '-key',
      join(folder, 'key.pem'),
      '-subj',
      '/CN=expired',
      '-addext',
      'subjectAltName=DNS:localhost,IP:127.0.0.1',
      '-out',
      request,
    ]);
    const authority = [
      '-CA',
      `${TLS_FOLDER}authority.pem`,
      '-CAkey',
      `${TLS_FOLDER}authority.key.pem`,
    ];
    await run('openssl', [
      'x509',
      '-req',
      '-in',
      request,
      ...authority,
      '-CAcreateserial',
      '-CAserial',
      serial,
      '-days',
      '-1',
      '-copy_extensions',
      'copy',
      '-out',
      join(folder, 'cert.pem'),
    ]);
  } catch (error) {
    throw new SkipCell(`openssl cannot make an expired certificate: ${(error as Error).message}`);
  } finally {
    await rm(request, { force: true });
  }
}
