/** `npm run grid`: runs cells, several at a time, and writes their figures. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import type { CellResult } from './cell.js';
import { CELLS } from './cells/index.js';
import { KNOWN_FAILURES } from './known-failures.js';
import { SharedServers } from './registry-setup.js';
import { withMatrix } from './report.js';
import { runCell } from './run-cell.js';
import { runScenario } from './scale/scenario.js';

const DOCUMENT = 'docs/reliability.md';
/** Milliseconds between two lines of progress. */
const PROGRESS_PERIOD = 10_000;

const USAGE = `usage: npm run grid -- [options]
  --only TEXT    runs the cells with TEXT in their names; default: all that take seconds
  --all          runs the long cells too
  --list         prints the names of the cells, and runs none
  --jobs N       runs N cells at once; default: one more than there are cores
  --keep         keeps the logs of cells that fail, below the folder of temporary files
  --json FILE    writes the results to FILE, and keeps those of cells that are not in this run
  --report FILE  makes the tables of ${DOCUMENT} from FILE
  --help         prints this text`;

function fail(message: string): never {
  console.error(`${message}\n${USAGE}`);
  process.exit(2);
}

function parseArguments() {
  try {
    return parseArgs({
      options: {
        only: { type: 'string' },
        all: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        json: { type: 'string' },
        report: { type: 'string' },
        jobs: { type: 'string', default: `${availableParallelism() + 1}` },
        keep: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    // Further lines are about parseArgs().
    return fail((error as Error).message.split('\n', 1).join());
  }
}

const values = parseArguments();
if (values.help) {
  console.log(USAGE);
  process.exit();
}
const { only, all, list, json, report } = values;
const jobs = Number(values.jobs);
if (!Number.isInteger(jobs) || jobs < 1)
  fail(`--jobs: got ${values.jobs}, expected an integer from 1`);

const isChosen = ({ name, isLong }: (typeof CELLS)[number]): boolean =>
  only === undefined ? all || isLong !== true : name.includes(only);
const chosen = CELLS.filter(isChosen);

if (report !== undefined) {
  writeFileSync(DOCUMENT, withMatrix(readFileSync(DOCUMENT, 'utf8'), readReport(report)));
} else if (list) {
  for (const { name, isLong } of chosen) console.log(`${name}${isLong ? ' (long)' : ''}`);
} else if (chosen.length === 0) {
  console.error(`--only: no cell has ${only} in its name; --list prints all names`);
  process.exitCode = 1;
} else {
  await runAll();
}

async function runAll(): Promise<void> {
  // Each server of a registry has a listener for the end of this process.
  process.setMaxListeners(0);
  const shared = new SharedServers();
  const results: CellResult[] = [];
  const waiting = chosen.map((cell, index) => ({ cell, id: `${index + 1}` }));
  process.on('SIGINT', () => {
    if (waiting.length === 0) process.exit(130);
    console.log('ending after the cells that run; once more: now');
    waiting.length = 0;
  });
  const start = performance.now();
  const progress = setInterval(() => {
    const time = ((performance.now() - start) / 1_000).toFixed(0);
    console.error(`${results.length} of ${chosen.length} cells, ${time} s`);
  }, PROGRESS_PERIOD);
  console.error(`starting ${chosen.length} cells, ${Math.min(jobs, chosen.length)} at once`);
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { cell, id } = next;
      const result =
        'run' in cell ? await runScenario(cell) : await runCell(cell, id, shared, values.keep);
      results.push(result);
      print(result, results.length);
    }
  };
  try {
    await Promise.all(Array.from({ length: jobs }, work));
  } finally {
    clearInterval(progress);
    await shared.stop();
  }
  const order = new Map(CELLS.map(({ name }, index) => [name, index]));
  if (json !== undefined) {
    const ran = new Set(results.map(({ name }) => name));
    const kept = readResults(json).filter(({ name }) => order.has(name) && !ran.has(name));
    const all = [...kept, ...results];
    all.sort((one, other) => (order.get(one.name) ?? 0) - (order.get(other.name) ?? 0));
    writeFileSync(json, `${JSON.stringify(all, undefined, 1)}\n`);
  }
  const count = (outcome: string): number =>
    results.filter((result) => result.outcome === outcome).length;
  console.log(`${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`);
  const isUnknown = ({ name, outcome }: CellResult): boolean =>
    outcome === 'failed' && KNOWN_FAILURES[name] === undefined;
  if (results.some(isUnknown)) process.exitCode = 1;
}

function readReport(path: string): CellResult[] {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as CellResult[];
  } catch (error) {
    return fail(`--report: ${(error as Error).message}`);
  }
}

/** The results in a file of an earlier run, which this run completes. */
function readResults(path: string): CellResult[] {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as CellResult[]) : [];
}

function print({ name, outcome, problems, figures, duration }: CellResult, count: number): void {
  const known = outcome === 'failed' ? KNOWN_FAILURES[name] : undefined;
  const words = [`${(duration / 1_000).toFixed(1)} s`];
  if (figures !== undefined) {
    const { calls, failed, doubled, lost, recovery, outage } = figures;
    words.push(`${calls} calls, ${failed} failed, ${doubled} doubled, ${lost} lost`);
    words.push(`recovery ${Math.round(recovery)} ms, longest outage ${Math.round(outage)} ms`);
  }
  console.log(`[${count}/${chosen.length}] ${outcome}: ${name}; ${words.join('; ')}`);
  if (known !== undefined) console.log(`    known: ${known}`);
  for (const problem of problems.slice(0, 10)) console.log(`    ${problem}`);
  if (problems.length > 10) console.log(`    and ${problems.length - 10} more`);
}
