/** Faults of the first provider or of the first consumer. */
import { elapse } from '../../fixtures/waiting.js';
import type { Fault } from '../cell.js';
import { type GridCluster, now } from '../cluster.js';
import type { Member } from '../member.js';
import { useCertificate } from '../registry-setup.js';
import { startImpostor } from './impostor.js';
import type { MakeFault } from './index.js';

const PROVIDER = 'p1';
const CONSUMER = 'c1';
/** The name of the process that takes over. */
const NEXT_CONSUMER = 'c1-next';

function target({ cell, providers, consumers }: GridCluster): Member {
  const found = cell.where === 'client' ? consumers.get(CONSUMER) : providers.get(PROVIDER);
  if (found === undefined) throw new Error('no process has the fault');
  return found;
}

async function startNext(cluster: GridCluster): Promise<void> {
  if (cluster.cell.where === 'provider') return cluster.startProvider(PROVIDER);
  cluster.consumers.delete(CONSUMER);
  await cluster.startConsumer(NEXT_CONSUMER);
}

async function kill(cluster: GridCluster, { time }: Fault): Promise<void> {
  if (cluster.cell.where === 'client') cluster.crashes.set(CONSUMER, now());
  await target(cluster).kill();
  await elapse(time);
  await startNext(cluster);
}

async function restart(cluster: GridCluster, { time }: Fault): Promise<void> {
  const member = target(cluster);
  if (cluster.cell.where === 'client') await member.command('stop');
  await member.close();
  await elapse(time);
  await startNext(cluster);
}

async function stop(cluster: GridCluster, { time }: Fault): Promise<void> {
  const member = target(cluster);
  member.signal('SIGSTOP');
  await elapse(time);
  member.signal('SIGCONT');
}

async function replace(cluster: GridCluster, { time }: Fault): Promise<void> {
  const zombie = target(cluster);
  zombie.signal('SIGSTOP');
  await elapse(time / 2);
  await cluster.startProvider(PROVIDER, true);
  await elapse(time / 2);
  zombie.signal('SIGCONT');
  cluster.zombie = zombie;
}

async function stall(cluster: GridCluster, { time }: Fault): Promise<void> {
  await target(cluster).command('stall', time);
}

async function descriptors(cluster: GridCluster, { time }: Fault): Promise<void> {
  const member = target(cluster);
  await member.command('takeDescriptors');
  for (const each of cluster.proxies) each.reset();
  await elapse(time);
  await member.command('releaseDescriptors');
}

async function impostor(cluster: GridCluster, fault: Fault): Promise<void> {
  if (fault.kind !== 'impostor') return;
  await target(cluster).kill();
  const { addresses, cell, certificates } = cluster;
  const impostor = await startImpostor(
    addresses.get(PROVIDER) as string,
    certificates,
    fault.answers,
  );
  await elapse(cell.fault.time);
  await impostor[Symbol.asyncDispose]();
  await startNext(cluster);
}

async function clock(cluster: GridCluster, fault: Fault): Promise<void> {
  if (fault.kind !== 'clock') return;
  const member = target(cluster);
  const before = await member.command<number>('date');
  await cluster.clock?.set(fault.seconds);
  const jump = (await member.command<number>('date')) - before;
  if (Math.abs(jump - fault.seconds * 1_000) > 60_000)
    throw new Error(`the clock of ${member.name} has jumped by ${jump} ms`);
  await elapse(fault.time);
  await cluster.clock?.set(0);
}

async function certificate(cluster: GridCluster, fault: Fault): Promise<void> {
  if (fault.kind !== 'certificate') return;
  const { certificates, proxies } = cluster;
  await useCertificate(certificates, fault.next === 'expired' ? 'expired' : 'server2');
  // The provider reads the files again meanwhile. Then new sessions see the certificate.
  await elapse(fault.time / 2);
  for (const each of proxies) each.reset();
  await elapse(fault.time / 2);
  if (fault.next === 'expired') await useCertificate(certificates, 'server');
}

export const PROCESS_FAULTS: Partial<Record<Fault['kind'], MakeFault>> = {
  kill,
  restart,
  stop,
  replace,
  stall,
  descriptors,
  impostor,
  clock,
  certificate,
};
