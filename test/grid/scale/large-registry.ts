/** A registry with 2,000 nodes of 100 services, whose server is killed. */
import { entryPath, entryValue } from '../../../src/micro/registry-entry.js';
import { encode } from '../../fixtures/etcd-gateway.js';
import { EtcdServer } from '../../fixtures/etcd-server.js';
import { node } from '../../fixtures/registries.js';
import { elapse, until } from '../../fixtures/waiting.js';
import { now } from '../cluster.js';
import { Member } from '../member.js';
import type { Scenario, ScenarioReport } from './scenario.js';

const SERVICES = 100;
const NODES = 2_000;
const WATCHED = 'Service7';
/** Entries that one request writes. */
const PER_REQUEST = 125;
/** Milliseconds. */
const OUTAGE = 3_000;
const LONG_PATIENCE = 300_000;
const MIB = 1024 * 1024;

async function fill(server: EtcdServer): Promise<void> {
  const entries = Array.from({ length: SERVICES * NODES }, (_, i) => {
    const service = `Service${i % SERVICES}`;
    const entry = node(`n${String(Math.floor(i / SERVICES)).padStart(4, '0')}`, { service });
    return {
      request_put: { key: encode(entryPath('/getty', entry)), value: encode(entryValue(entry)) },
    };
  });
  const work = async (): Promise<void> => {
    while (entries.length > 0)
      await server.request('kv/txn', { success: entries.splice(0, PER_REQUEST) });
  };
  await Promise.all(Array.from({ length: 8 }, work));
}

async function watchLargeRegistry(folder: string): Promise<ScenarioReport> {
  const server = await EtcdServer.started();
  let watcher: Member | undefined;
  try {
    await fill(server);
    const start = now();
    const started = await Member.start({
      program: 'registry-watcher.mjs',
      name: 'watcher',
      settings: { url: server.url('/getty'), registryOptions: {}, service: WATCHED },
      errors: `${folder}/watcher.err`,
      flags: ['--expose-gc'],
    });
    watcher = started;
    const untilNodes = (count: number): Promise<void> =>
      until(
        async () => (await started.command<number>('nodes')) === count,
        `${count} nodes`,
        LONG_PATIENCE,
      );
    await untilNodes(NODES);
    const read = now() - start;
    await started.command('shortest');
    await server.kill();
    await elapse(OUTAGE);
    await server.start();
    const added = node('x', { service: WATCHED });
    const back = now();
    await server.put(entryPath('/getty', added), entryValue(added));
    await untilNodes(NODES + 1);
    const recovery = now() - back;
    const shortest = await started.command<number>('shortest');
    const { heapUsed, external } = await started.command<NodeJS.MemoryUsage>('memory');
    const problems = shortest < NODES ? [`a list had ${shortest} nodes only`] : [];
    const remarks = [
      `the first list is complete ${(read / 1_000).toFixed(1)} s after the start of the process; after etcd was killed and has started again, a new node is listed after ${(recovery / 1_000).toFixed(1)} s; ${Math.round((heapUsed + external) / MIB)} MiB of memory`,
    ];
    return { problems, remarks };
  } finally {
    await watcher?.kill();
    await server.stop();
  }
}

export const REGISTRY_SCENARIOS: readonly Scenario[] = [
  {
    name: 'scale: 2,000 nodes of 100 services, etcd killed',
    where: 'scale',
    transport: 'none',
    registry: 'etcd',
    calls: 'none',
    isLong: true,
    run: watchLargeRegistry,
  },
];
