/** Faults of the registry. The calls go on, and no list loses a node. */
import type { Cell, RegistryFaultKind, RegistryKind } from '../cell.js';
import { makeCell, type NamedFault } from './make-cell.js';

/** A fault of 6 s is longer than the leases and sessions of 4 s. */
const LONGER_THAN_TTL = 6_000;

const SERVER_FAULTS: readonly NamedFault[] = [
  { title: 'killed, back after 1 s', fault: { kind: 'kill', time: 1_000 } },
  { title: 'killed, back after 6 s', fault: { kind: 'kill', time: LONGER_THAN_TTL } },
  { title: 'frozen for 6 s', fault: { kind: 'stop', time: LONGER_THAN_TTL } },
  { title: 'frozen for 15 s', fault: { kind: 'stop', time: 15_000 } },
  {
    title: 'frozen for 60 s',
    fault: { kind: 'stop', time: 60_000 },
    more: { isLong: true },
  },
  { title: 'wiped', fault: { kind: 'wiped', time: 1_000 } },
  {
    title: 'restored from a backup',
    fault: { kind: 'restored', time: 1_000 },
    // A provider starts again meanwhile.
    more: { keepsLists: false },
  },
  {
    title: 'latency 150 ms, jitter 100 ms',
    fault: { kind: 'proxy', faults: { latency: 150, jitter: 100 }, time: 4_000 },
  },
  { title: '10 KB/s', fault: { kind: 'proxy', faults: { bandwidth: 10_000 }, time: 4_000 } },
  { title: 'one byte per packet', fault: { kind: 'proxy', faults: { slice: 1 }, time: 4_000 } },
  { title: 'reset every 300 ms', fault: { kind: 'reset', time: 4_000 } },
  {
    title: 'one-way partition, requests lost',
    fault: { kind: 'proxy', faults: { toServer: { blocked: true } }, time: LONGER_THAN_TTL },
  },
  {
    title: 'one-way partition, answers lost',
    fault: { kind: 'proxy', faults: { toClient: { blocked: true } }, time: LONGER_THAN_TTL },
  },
  { title: 'connections refused', fault: { kind: 'refuse', time: LONGER_THAN_TTL } },
];

const named = (kind: RegistryFaultKind, title: string, more?: Partial<Cell>): NamedFault => ({
  title,
  fault: { kind, time: LONGER_THAN_TTL },
  more,
});

const ETCD_FAULTS: readonly NamedFault[] = [
  named('no space', 'NOSPACE alarm', { keepsLists: false }),
  named('compacted', 'compacted during an outage'),
  named('authentication', 'authentication switched on'),
];

const FILE_FAULTS: readonly NamedFault[] = [
  named('full disk', 'full disk', { keepsLists: false }),
  named('read-only', 'read-only disk', { keepsLists: false }),
  named('unreadable', 'directory moved away'),
];

const at = (fault: NamedFault, registry: RegistryKind): Cell =>
  makeCell(fault, { where: 'registry', transport: 'tcp', registry });

export const REGISTRY_CELLS: readonly Cell[] = [
  ...SERVER_FAULTS.flatMap((fault) => [at(fault, 'etcd'), at(fault, 'ZooKeeper')]),
  ...ETCD_FAULTS.map((fault) => at(fault, 'etcd')),
  ...(['renewed', 'expired'] as const).map((next) =>
    at(
      { title: `certificate ${next}`, fault: { kind: 'certificate', next, time: LONGER_THAN_TTL } },
      'etcd with TLS',
    ),
  ),
  at({ title: 'leader killed', fault: { kind: 'kill', time: LONGER_THAN_TTL } }, 'etcd cluster'),
  at({ title: 'leader frozen', fault: { kind: 'stop', time: LONGER_THAN_TTL } }, 'etcd cluster'),
  at(named('no quorum', 'no quorum'), 'etcd cluster'),
  at(
    { title: 'member killed', fault: { kind: 'kill', time: LONGER_THAN_TTL } },
    'ZooKeeper ensemble',
  ),
  at(
    { title: 'member frozen', fault: { kind: 'stop', time: LONGER_THAN_TTL } },
    'ZooKeeper ensemble',
  ),
  at(named('read-only', 'no quorum, read-only'), 'ZooKeeper ensemble'),
  ...FILE_FAULTS.map((fault) => at(fault, 'file on a small disk')),
];
