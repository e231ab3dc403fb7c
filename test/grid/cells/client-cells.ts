/** Faults of one of two client machines: of the process, or of all its links. */
import type { Cell } from '../cell.js';
import { cross, makeCell, type NamedFault, STREAMS, TRANSPORTS } from './make-cell.js';

const TIME = 4_000;

const PROCESS_FAULTS: readonly NamedFault[] = [
  { title: 'SIGKILL, back after 1 s', fault: { kind: 'kill', time: 1_000 } },
  { title: 'SIGSTOP for 5 s', fault: { kind: 'stop', time: 5_000 } },
  { title: 'event loop blocked for 5 s', fault: { kind: 'stall', time: 5_000 } },
  { title: 'no free file descriptors', fault: { kind: 'descriptors', time: 3_000 } },
];

const LINK_FAULTS: readonly NamedFault[] = [
  {
    title: 'no network',
    fault: { kind: 'proxy', faults: { blocked: true }, time: TIME },
  },
  { title: '10 KB/s', fault: { kind: 'proxy', faults: { bandwidth: 10_000 }, time: TIME } },
  {
    title: 'latency 150 ms, jitter 100 ms',
    fault: { kind: 'proxy', faults: { latency: 150, jitter: 100 }, time: TIME },
  },
];

const STREAM_LINK_FAULTS: readonly NamedFault[] = [
  { title: 'reset every 300 ms', fault: { kind: 'reset', time: TIME } },
];

const ROUTE_FAULTS: readonly NamedFault[] = [
  { title: 'router drops answers', fault: { kind: 'route', to: 'client', time: TIME } },
  { title: 'router drops everything', fault: { kind: 'route', to: 'both', time: TIME } },
];

const STOP: NamedFault = { title: 'SIGSTOP for 15 s', fault: { kind: 'stop', time: 15_000 } };
const LONG_STOP: NamedFault = {
  title: 'SIGSTOP for 60 s',
  fault: { kind: 'stop', time: 60_000 },
  more: { isLong: true },
};

export const CLIENT_CELLS: readonly Cell[] = [
  ...cross('client', PROCESS_FAULTS, TRANSPORTS),
  ...cross('client', LINK_FAULTS, TRANSPORTS),
  ...cross('client', STREAM_LINK_FAULTS, STREAMS),
  ...ROUTE_FAULTS.map((fault) =>
    makeCell(fault, { where: 'client', transport: 'tcp', registry: 'file' }),
  ),
  ...(['file', 'etcd', 'ZooKeeper'] as const).flatMap((registry) => [
    makeCell(STOP, { where: 'client', transport: 'tcp', registry }),
    makeCell(LONG_STOP, { where: 'client', transport: 'tcp', registry }),
  ]),
  ...([3_600, -3_600] as const).map((seconds) =>
    makeCell(
      {
        title: `clock jumps ${seconds > 0 ? 'forward' : 'backward'} by 1 h`,
        fault: { kind: 'clock', seconds, time: 6_000 },
        more: { keepsLists: true },
      },
      { where: 'client', transport: 'tcp', registry: 'file' },
    ),
  ),
];
