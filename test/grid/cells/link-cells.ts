/** Faults of the network between all consumers and one of three providers. */
import type { Cell } from '../cell.js';
import { cross, makeCell, type NamedFault, STREAMS } from './make-cell.js';

const TIME = 4_000;

export const STREAM_LINK_FAULTS: readonly NamedFault[] = [
  {
    title: 'latency 150 ms, jitter 100 ms',
    fault: { kind: 'proxy', faults: { latency: 150, jitter: 100 }, time: TIME },
  },
  { title: '10 KB/s', fault: { kind: 'proxy', faults: { bandwidth: 10_000 }, time: TIME } },
  { title: 'one byte per packet', fault: { kind: 'proxy', faults: { slice: 1 }, time: TIME } },
  { title: 'reset every 300 ms', fault: { kind: 'reset', time: TIME } },
  { title: 'reset within a frame', fault: { kind: 'reset', limit: 2_001, time: TIME } },
  {
    title: 'half-open: the client sees no end',
    fault: {
      kind: 'proxy',
      faults: { toServer: { blocked: true }, toClient: { halfOpen: true } },
      time: TIME,
    },
  },
  {
    title: 'one-way partition, requests lost',
    fault: { kind: 'proxy', faults: { toServer: { blocked: true } }, time: TIME },
  },
  {
    title: 'one-way partition, answers lost',
    fault: { kind: 'proxy', faults: { toClient: { blocked: true } }, time: TIME },
  },
  { title: 'connections refused', fault: { kind: 'refuse', time: TIME } },
];

const DATAGRAM_FAULTS: readonly NamedFault[] = [
  { title: '10 % loss', fault: { kind: 'proxy', faults: { loss: 0.1 }, time: TIME } },
  { title: '50 % loss', fault: { kind: 'proxy', faults: { loss: 0.5 }, time: TIME } },
  { title: '50 % duplicated', fault: { kind: 'proxy', faults: { duplication: 0.5 }, time: TIME } },
  { title: '50 % reordered', fault: { kind: 'proxy', faults: { reordering: 0.5 }, time: TIME } },
  {
    title: 'latency 150 ms, jitter 100 ms',
    fault: { kind: 'proxy', faults: { latency: 150, jitter: 100 }, time: TIME },
  },
  {
    title: 'loss, duplication and reordering of 20 % each',
    fault: {
      kind: 'proxy',
      faults: { loss: 0.2, duplication: 0.2, reordering: 0.2 },
      time: TIME,
    },
  },
  {
    title: 'one-way partition, requests lost',
    fault: { kind: 'proxy', faults: { toServer: { blocked: true } }, time: TIME },
  },
  {
    title: 'one-way partition, answers lost',
    fault: { kind: 'proxy', faults: { toClient: { blocked: true } }, time: TIME },
  },
  { title: 'the port of each client changes', fault: { kind: 'reset', time: TIME } },
];

const ROUTE_FAULTS: readonly NamedFault[] = [
  {
    title: 'router drops requests',
    fault: { kind: 'route', to: 'provider', time: TIME },
  },
  { title: 'router drops answers', fault: { kind: 'route', to: 'client', time: TIME } },
  { title: 'router drops everything', fault: { kind: 'route', to: 'both', time: TIME } },
];

/** The load of ten minutes is the fault. */
const MIXED_LOAD: NamedFault = {
  title: 'ten minutes of mixed load, jitter 20 ms',
  fault: { kind: 'proxy', faults: { jitter: 20 }, time: 600_000 },
  more: { isLong: true, callPeriod: 5, hasFlatMemory: true },
};

export const LINK_CELLS: readonly Cell[] = [
  ...cross('link', STREAM_LINK_FAULTS, STREAMS),
  ...DATAGRAM_FAULTS.map((fault) =>
    makeCell(fault, { where: 'link', transport: 'udp', registry: 'file' }),
  ),
  ...(['tcp', 'ws', 'udp'] as const).flatMap((transport) =>
    ROUTE_FAULTS.map((fault) => makeCell(fault, { where: 'link', transport, registry: 'file' })),
  ),
  ...STREAM_LINK_FAULTS.map((fault) =>
    makeCell(fault, { where: 'link', transport: 'tcp', registry: 'file', calls: 'streams' }),
  ),
  makeCell(MIXED_LOAD, { where: 'link', transport: 'tcp', registry: 'etcd' }),
];
