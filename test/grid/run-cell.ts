/** Runs one cell: starts the processes, makes the fault, waits for the recovery, and checks. */
import { elapse } from '../fixtures/waiting.js';
import { type Cell, type CellResult, SkipCell } from './cell.js';
import { GridCluster, now } from './cluster.js';
import { makeFault } from './faults/index.js';
import { type ConsumerTimeline, checkLogs, type LogReport } from './log-check.js';
import { MemoryWatch } from './memory-watch.js';
import type { SharedServers } from './registry-setup.js';

/** Milliseconds of calls before the fault. */
const WARM_UP = 1_500;
/** Milliseconds after the fault by which a cell must have recovered. */
const RECOVERY_LIMIT = 60_000;
/** The timeout of the calls that show the recovery, in milliseconds. */
const PROBE_TIMEOUT = 6_000;
/** The timeout of the calls after the recovery, all of which must succeed. */
const LAST_TIMEOUT = 30_000;
const LAST_PROBES = 3;
/** Of so many calls that begin in a part of the fault at least one must succeed. */
const ENOUGH_CALLS = 5;

interface FaultTimes {
  readonly begin: number;
  readonly end: number;
}

/** `id`: unique in the run. `keepFolders`: keep the logs of cells that fail. */
export async function runCell(
  cell: Cell,
  id: string,
  shared: SharedServers,
  keepFolders = false,
): Promise<CellResult> {
  const { name, where, transport, registry, calls } = cell;
  const start = now();
  const base = { name, where, transport, registry, calls };
  const cluster = new GridCluster(cell, id);
  let isPassed = false;
  try {
    const { problems, ...rest } = await runCluster(cluster, shared);
    isPassed = problems.length === 0;
    const outcome = isPassed ? 'passed' : 'failed';
    return { ...base, outcome, problems, ...rest, duration: now() - start };
  } catch (error) {
    const isSkipped = error instanceof SkipCell;
    const problems = [isSkipped ? error.message : `${(error as Error).stack}${cluster.errors()}`];
    const outcome = isSkipped ? 'skipped' : 'failed';
    return { ...base, outcome, problems, duration: now() - start };
  } finally {
    await cluster.destroy(keepFolders && !isPassed);
  }
}

async function runCluster(
  cluster: GridCluster,
  shared: SharedServers,
): Promise<Pick<CellResult, 'problems' | 'remarks' | 'figures' | 'counts'>> {
  await cluster.start(shared);
  await untilRecovered(cluster, now());
  await cluster.startLoad();
  await elapse(WARM_UP);
  const begin = now();
  const memory = cluster.cell.hasFlatMemory ? new MemoryWatch(cluster.members) : undefined;
  await makeFault(cluster);
  const growth = memory?.stop();
  const times = { begin, end: now() };
  const { recovery, problems } = await untilRecovered(cluster, times.end);
  if (problems.length === 0) problems.push(...(await probeAll(cluster, LAST_PROBES, LAST_TIMEOUT)));
  await cluster.stopLoad();
  await cluster.close();
  const report = checkLogs(
    cluster.consumerNames.map((name) => ({
      name,
      lines: cluster.linesOf(name),
      crashedAt: cluster.crashes.get(name),
    })),
    cluster.providerNames.flatMap((name) => cluster.linesOf(name)),
  );
  problems.push(...report.violations, ...checkTimelines(cluster, report, times));
  problems.push(...(growth?.problems ?? []));
  const remarks = growth?.remarks;
  const { calls, failed, doubled, lost, counts, timelines } = report;
  const outage = Math.max(...timelines.map((each) => each.outage));
  return { problems, remarks, counts, figures: { calls, failed, doubled, lost, recovery, outage } };
}

/** Each list is true, and one call of each kind and strategy of each consumer succeeds. */
async function untilRecovered(
  cluster: GridCluster,
  since: number,
): Promise<{ recovery: number; problems: string[] }> {
  for (;;) {
    const problems = await wrongLists(cluster);
    if (problems.length === 0) problems.push(...(await probeAll(cluster, 1, PROBE_TIMEOUT)));
    const recovery = now() - since;
    if (problems.length === 0) return { recovery, problems };
    if (recovery > RECOVERY_LIMIT) {
      problems.unshift(`not recovered ${Math.round(recovery)} ms after the fault`);
      return { recovery, problems };
    }
    await elapse(50);
  }
}

async function wrongLists(cluster: GridCluster): Promise<string[]> {
  const wrong: string[] = [];
  for (const [name, consumer] of cluster.consumers) {
    const expected = cluster.expectedList(name).join(', ');
    for (const list of await consumer.command<string[][]>('lists')) {
      const actual = list.join(', ');
      if (actual !== expected) wrong.push(`${name} lists ${actual}, expected ${expected}`);
    }
  }
  return wrong;
}

/** Resolves with the failures. */
async function probeAll(cluster: GridCluster, times: number, timeout: number): Promise<string[]> {
  const consumers = [...cluster.consumers.values()];
  const failures = await Promise.all(
    consumers.map(async (each) => {
      const own = await each.command<string[]>('probe', times, timeout);
      return own.map((failure) => `${each.name}: ${failure}`);
    }),
  );
  return failures.flat();
}

function checkTimelines(
  cluster: GridCluster,
  { timelines }: LogReport,
  { begin, end }: FaultTimes,
): string[] {
  const { cell, addresses } = cluster;
  const problems: string[] = [];
  const lengths = (of: ConsumerTimeline, until: number): number[] =>
    of.lists.filter(({ at }) => at >= begin && at <= until).map(({ length }) => length);
  for (const timeline of timelines) {
    const { name, begun, succeeded } = timeline;
    const third = (end - begin) / 3;
    for (let part = 0; cell.goesOn && !cluster.isTarget(name) && part < 3; part++) {
      const from = begin + part * third;
      const isInPart = (at: number): boolean => at >= from && at <= from + third;
      // A busy machine may leave too little time for calls.
      if (begun.filter(isInPart).length < ENOUGH_CALLS) continue;
      if (!succeeded.some(isInPart))
        problems.push(`no call of ${name} that begins in part ${part + 1} of the fault succeeds`);
    }
    const shortest = Math.min(...lengths(timeline, Number.POSITIVE_INFINITY));
    if (cell.keepsLists && shortest < addresses.size)
      problems.push(`${name} has listed ${shortest} nodes only`);
    if (cell.losesNode === true && !lengths(timeline, end).some((each) => each < addresses.size))
      problems.push(`${name} has listed the node with the fault throughout`);
  }
  return problems;
}
