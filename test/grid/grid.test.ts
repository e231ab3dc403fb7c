/** A part of the grid: one cell of each kind of fault. `npm run grid` runs all cells. */
import { afterAll, describe, expect, test } from 'vitest';
import type { Cell } from './cell.js';
import { CELLS } from './cells/index.js';
import { SharedServers } from './registry-setup.js';
import { runCell } from './run-cell.js';

/** Each group runs at once. */
const GROUPS: readonly (readonly string[])[] = [
  [
    'provider: SIGKILL, back after 1 s, tcp, file',
    'provider: SIGSTOP for 5 s, ws, file',
    'provider: event loop blocked for 5 s, tls, file',
  ],
  [
    'provider: replaced by a process that sends garbage, tcp, file',
    'provider: replaced by a process that never answers, udp, etcd',
    'provider: no free file descriptors, unix, etcd',
  ],
  [
    'provider: orderly restart, tcp, etcd',
    'provider: certificate renewed, tls, file',
    'registry: full disk, tcp, file on a small disk',
  ],
  [
    'link: 10 KB/s, tls, file',
    'link: one byte per packet, tcp, file',
    'link: reset within a frame, tcp, file',
  ],
  [
    'link: half-open: the client sees no end, tls, file',
    'link: one-way partition, answers lost, tls, file',
    'link: router drops requests, tcp, file',
  ],
  [
    'link: loss, duplication and reordering of 20 % each, udp, file',
    'link: reset every 300 ms, tcp, file, long streams',
    'client: SIGKILL, back after 1 s, tcp, file',
  ],
  [
    'client: SIGSTOP for 5 s, tls, file',
    'client: no network, tcp, file',
    'registry: killed, back after 1 s, tcp, etcd',
  ],
];

function cellWithName(name: string): Cell {
  const found = CELLS.find((cell) => cell.name === name);
  if (found === undefined || 'run' in found) throw new Error(`no cell has the name ${name}`);
  return found;
}

const shared = new SharedServers();
afterAll(() => shared.stop());

describe.each(GROUPS.map((names, index) => ({ group: index + 1, names })))(
  'group $group',
  ({ group, names }) => {
    describe.concurrent('all calls keep their promises', () => {
      for (const [index, name] of names.entries()) {
        test(name, { timeout: 300_000 }, async (context) => {
          const result = await runCell(cellWithName(name), `${group}-${index}`, shared);
          context.skip(result.outcome === 'skipped', result.problems.join());
          expect(result.problems).toEqual([]);
        });
      }
    });
  },
);
