/** Faults of one of three providers. */
import type { Cell } from '../cell.js';
import { cross, makeCell, type NamedFault, TRANSPORTS } from './make-cell.js';

/** Longer than a lease or a session: the entry of the provider is gone meanwhile. */
const LONGER_THAN_TTL = 6_000;

const FAULTS: readonly NamedFault[] = [
  { title: 'SIGKILL, back after 1 s', fault: { kind: 'kill', time: 1_000 } },
  { title: 'orderly restart', fault: { kind: 'restart', time: 500 } },
  { title: 'SIGSTOP for 5 s', fault: { kind: 'stop', time: 5_000 } },
  { title: 'event loop blocked for 5 s', fault: { kind: 'stall', time: 5_000 } },
  {
    title: 'replaced by a process that sends garbage',
    fault: { kind: 'impostor', answers: 'garbage', time: 3_000 },
  },
  {
    title: 'replaced by a process that never answers',
    fault: { kind: 'impostor', answers: 'nothing', time: 3_000 },
  },
  { title: 'no free file descriptors', fault: { kind: 'descriptors', time: 3_000 } },
];

const GONE: readonly NamedFault[] = [
  {
    title: 'SIGKILL, back after 8 s',
    fault: { kind: 'kill', time: LONGER_THAN_TTL + 2_000 },
    more: { losesNode: true },
  },
  {
    title: 'SIGSTOP for 15 s',
    fault: { kind: 'stop', time: 15_000 },
    more: { losesNode: true },
  },
  {
    title: 'SIGSTOP for 12 s, replaced meanwhile',
    fault: { kind: 'replace', time: 2 * LONGER_THAN_TTL },
  },
];

const LONG: NamedFault = {
  title: 'SIGSTOP for 60 s',
  fault: { kind: 'stop', time: 60_000 },
  more: { losesNode: true, isLong: true },
};

export const PROVIDER_CELLS: readonly Cell[] = [
  ...cross('provider', FAULTS, TRANSPORTS),
  ...GONE.flatMap((fault) => [
    makeCell(fault, { where: 'provider', transport: 'tcp', registry: 'file' }),
    makeCell(fault, { where: 'provider', transport: 'ws', registry: 'etcd' }),
    makeCell(fault, { where: 'provider', transport: 'tls', registry: 'ZooKeeper' }),
    makeCell(fault, { where: 'provider', transport: 'udp', registry: 'etcd' }),
  ]),
  ...(['file', 'etcd', 'ZooKeeper'] as const).map((registry) =>
    makeCell(LONG, { where: 'provider', transport: 'tcp', registry }),
  ),
  ...(['renewed', 'expired'] as const).map((next) =>
    makeCell(
      { title: `certificate ${next}`, fault: { kind: 'certificate', next, time: 4_000 } },
      { where: 'provider', transport: 'tls', registry: 'file' },
    ),
  ),
  ...([3_600, -3_600] as const).map((seconds) =>
    makeCell(
      {
        title: `clock jumps ${seconds > 0 ? 'forward' : 'backward'} by 1 h`,
        fault: { kind: 'clock', seconds, time: LONGER_THAN_TTL },
        more: { keepsLists: true },
      },
      { where: 'provider', transport: 'tcp', registry: 'file' },
    ),
  ),
  ...FAULTS.slice(0, 4).map((fault) =>
    makeCell(fault, { where: 'provider', transport: 'tcp', registry: 'file', calls: 'streams' }),
  ),
];
