/** Faults of the registry: its servers, its directory, or the network before it. */
import { cp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EtcdServer, leaderOf } from '../../fixtures/etcd-server.js';
import { elapse, PROCESS_PATIENCE, until } from '../../fixtures/waiting.js';
import type { Fault } from '../cell.js';
import type { GridCluster } from '../cluster.js';
import { run, useCertificate } from '../registry-setup.js';
import type { MakeFault } from './index.js';
import { disturb } from './link-faults.js';

type Server = GridCluster['registry']['servers'][number];

/** The only server, or the leader of an etcd cluster, or the first member. */
async function serverOf({ registry: { servers } }: GridCluster): Promise<Server> {
  const members = servers.filter((each) => each instanceof EtcdServer);
  if (members.length > 1) return leaderOf(members);
  const [first] = servers;
  if (first === undefined) throw new Error('the registry has no server');
  return first;
}

async function etcdOf(cluster: GridCluster): Promise<EtcdServer> {
  const server = await serverOf(cluster);
  if (!(server instanceof EtcdServer)) throw new Error('the registry is not etcd');
  return server;
}

const proxiesOf = ({ registry: { proxy } }: GridCluster) => (proxy === undefined ? [] : [proxy]);

async function kill(cluster: GridCluster, { time }: Fault): Promise<void> {
  const server = await serverOf(cluster);
  await server.kill();
  await elapse(time);
  await server.start();
}

async function stop(cluster: GridCluster, { time }: Fault): Promise<void> {
  const server = await serverOf(cluster);
  await server.freeze();
  await elapse(time);
  server.thaw();
}

/** Two of three servers are killed. */
async function noQuorum({ registry: { servers } }: GridCluster, { time }: Fault): Promise<void> {
  const killed = servers.slice(1);
  await Promise.all(killed.map((each) => each.kill()));
  await elapse(time);
  await Promise.all(killed.map((each) => each.start()));
}

async function readOnly(cluster: GridCluster, fault: Fault): Promise<void> {
  // A server of an ensemble is read-only while it has no quorum.
  if (cluster.registry.directory === undefined) return noQuorum(cluster, fault);
  const disk = join(cluster.folder, 'disk');
  // Files that are open stay writable: Linux makes no disk read-only while it has such files.
  await run('mount', ['--bind', '-o', 'ro', disk, disk]);
  const started = restartProvider(cluster);
  await elapse(fault.time);
  await run('umount', [disk]);
  await started;
}

/** An etcd whose database is full refuses all writes. A provider starts again meanwhile. */
async function noSpace(cluster: GridCluster, { time }: Fault): Promise<void> {
  const etcd = await etcdOf(cluster);
  const alarm = (action: string): Promise<unknown> =>
    etcd.request('maintenance/alarm', { action, memberID: '0', alarm: 'NOSPACE' });
  await alarm('ACTIVATE');
  const started = restartProvider(cluster);
  await elapse(time);
  await alarm('DEACTIVATE');
  await started;
}

/** A provider starts again, until its start succeeds. */
async function restartProvider(cluster: GridCluster): Promise<void> {
  await cluster.providers.get('p1')?.close();
  await until(
    () =>
      cluster.startProvider('p1').then(
        () => true,
        () => false,
      ),
    'the provider starts',
    PROCESS_PATIENCE,
  );
}

async function wiped(cluster: GridCluster, { time }: Fault): Promise<void> {
  const server = await serverOf(cluster);
  await server.kill();
  await rm(join(server.folder, 'data'), { recursive: true, force: true });
  await elapse(time);
  await server.start();
}

/** A copy of the data, then a provider that starts again, then the copy is the data. */
async function restored(cluster: GridCluster, { time }: Fault): Promise<void> {
  const server = await serverOf(cluster);
  const [data, backup] = [join(server.folder, 'data'), join(server.folder, 'backup')];
  await server.kill();
  await cp(data, backup, { recursive: true });
  await server.start();
  await restartProvider(cluster);
  await elapse(time);
  await server.kill();
  await rm(data, { recursive: true });
  await rename(backup, data);
  await server.start();
}

/** The history that the watches need is deleted while they are cut off. */
async function compacted(cluster: GridCluster, { time }: Fault): Promise<void> {
  const etcd = await etcdOf(cluster);
  const [between] = proxiesOf(cluster);
  if (between === undefined) throw new Error('the registry has no proxy');
  between.refusing = true;
  between.reset();
  for (let i = 0; i < 20; i++) await etcd.put('/elsewhere', `${i}`);
  await etcd.compact();
  await elapse(time);
  between.refusing = false;
}

/** etcd requires a user and a password, which its clients do not have. */
async function authentication(cluster: GridCluster, { time }: Fault): Promise<void> {
  const etcd = await etcdOf(cluster);
  const password = 'swordfish';
  await etcd.request('auth/user/add', { name: 'root', password });
  await etcd.request('auth/role/add', { name: 'root' });
  await etcd.request('auth/user/grant', { user: 'root', role: 'root' });
  await etcd.request('auth/enable', {});
  await elapse(time);
  const answer = await etcd.request('auth/authenticate', { name: 'root', password });
  await etcd.request('auth/disable', {}, (answer as { token: string }).token);
}

/** etcd starts again with another certificate. */
async function certificate(cluster: GridCluster, fault: Fault): Promise<void> {
  const { certificates, servers } = cluster.registry;
  const [server] = servers;
  if (fault.kind !== 'certificate' || certificates === undefined || server === undefined) return;
  await server.kill();
  await useCertificate(certificates, fault.next === 'expired' ? 'expired' : 'server2');
  await server.start();
  await elapse(fault.time);
  if (fault.next !== 'expired') return;
  await useCertificate(certificates, 'server');
  await server.kill();
  await server.start();
}

/** The disk of the directory is full. A provider starts again meanwhile. */
async function fullDisk(cluster: GridCluster, { time }: Fault): Promise<void> {
  const filler = join(cluster.folder, 'disk', 'filler');
  await fillDisk(filler);
  const started = restartProvider(cluster);
  await elapse(time);
  await rm(filler);
  await started;
}

async function fillDisk(filler: string): Promise<void> {
  for (;;) {
    try {
      await writeFile(filler, Buffer.alloc(4_096), { flag: 'a' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return;
      throw error;
    }
  }
}

/** The directory is moved away. */
async function unreadable(
  { registry: { directory } }: GridCluster,
  { time }: Fault,
): Promise<void> {
  if (directory === undefined) throw new Error('the registry has no directory');
  await rename(directory, `${directory}-away`);
  await elapse(time);
  await rm(directory, { recursive: true, force: true });
  await rename(`${directory}-away`, directory);
}

const disturbRegistry: MakeFault = (cluster, fault) => disturb(proxiesOf(cluster), fault);

export const REGISTRY_FAULTS: Partial<Record<Fault['kind'], MakeFault>> = {
  kill,
  stop,
  'no quorum': noQuorum,
  'read-only': readOnly,
  'no space': noSpace,
  wiped,
  restored,
  compacted,
  authentication,
  'full disk': fullDisk,
  unreadable,
  certificate,
  proxy: disturbRegistry,
  reset: disturbRegistry,
  refuse: disturbRegistry,
};
