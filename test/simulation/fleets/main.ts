/** `npm run fleets`: measures fleets in simulations, and prints the tables of docs/micro.md. */
import { measureConnectionAge } from './connection-age.js';
import { LIMITS, measureOverload } from './overload.js';
import { measureRedundancy, REDUNDANCY_STRATEGIES } from './redundancy.js';
import { measureSubsets, SUBSETS } from './subsets.js';
import { measureZones, NODES_PER_ZONE } from './zones.js';

type Row = readonly (string | number)[];

/** Virtual seconds of each measurement. */
const SECONDS = 5;

function print(title: string, names: readonly string[], rows: readonly Row[]): void {
  console.log(`\n${title}\n`);
  for (const row of [names, names.map(() => '---'), ...rows]) console.log(`| ${row.join(' | ')} |`);
}

const percent = (part: number): string => `${(100 * part).toFixed(0)} %`;
const milliseconds = (ms: number): string => `${ms.toFixed(1)} ms`;

async function rowsOf<T>(
  items: readonly T[],
  measure: (item: T) => Promise<Row>,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  // A process runs one simulation at a time.
  for (const item of items) rows.push(await measure(item));
  return rows;
}

print(
  'zoneFirst(): calls in the own zone, with killed nodes in it',
  ['killed', 'roundRobin()', 'zoneFirst()', 'p50', 'failed'],
  await rowsOf([0, 1, 2, 3, 4, NODES_PER_ZONE], async (killed) => {
    const spread = await measureZones(false, killed, SECONDS);
    const own = await measureZones(true, killed, SECONDS);
    return [
      `${killed} of ${NODES_PER_ZONE}`,
      percent(spread.ownShare),
      percent(own.ownShare),
      `${milliseconds(spread.p50)}, ${milliseconds(own.p50)}`,
      own.failures,
    ];
  }),
);
print(
  'subset: 40 consumers, 60 nodes',
  ['id', 'connections', 'of one node', 'opened when a node leaves', 'failed'],
  await rowsOf(Object.entries(SUBSETS), async ([name, subsetOf]) => {
    const { connections, fewest, most, moved, failures } = await measureSubsets(subsetOf);
    return [name, connections, `${fewest} to ${most}`, moved, failures];
  }),
);
print(
  'maxConnectionAge: 4 nodes',
  ['maxConnectionAge', 'calls', 'sessions', 'failed', 'p50', 'p99'],
  await rowsOf([0, 5_000], async (age) => {
    const { calls, sessions, failures, p50, p99 } = await measureConnectionAge(age, 3 * SECONDS);
    return [`${age} ms`, calls, sessions, failures, milliseconds(p50), milliseconds(p99)];
  }),
);
print(
  'adaptiveLimit(): a server that can answer 1,000 calls a second',
  ['calls/s', 'limit', 'answered/s', 'p50', 'p99', 'refused', 'late', 'priority 9 answered'],
  await rowsOf(
    [500, 2_000].flatMap((rate) => Object.entries(LIMITS).map((limit) => ({ rate, limit }))),
    async ({ rate, limit: [name, limit] }) => {
      const figures = await measureOverload(limit(), rate, SECONDS);
      return [
        rate,
        name,
        figures.answered.toFixed(0),
        milliseconds(figures.p50),
        milliseconds(figures.p99),
        percent(figures.refused),
        percent(figures.late),
        percent(figures.importantAnswered),
      ];
    },
  ),
);
print(
  'fork() and broadcast(): one call of a hundred takes 300 ms',
  ['strategy', 'p50', 'p99', 'calls of nodes for each call', 'failed'],
  await rowsOf(Object.entries(REDUNDANCY_STRATEGIES), async ([name, strategy]) => {
    const { p50, p99, received, failures } = await measureRedundancy(strategy(), SECONDS);
    return [name, milliseconds(p50), milliseconds(p99), received.toFixed(2), failures];
  }),
);
