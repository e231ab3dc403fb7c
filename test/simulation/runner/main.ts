/** `npm run simulate`: runs simulations with many seeds, and prints what went wrong. */
import { createWriteStream, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { INJECTED_BUGS } from '../injected-bugs.js';
import { type ClusterReport, runCluster } from '../run.js';
import { resultOf, runWorker, type SeedResult, simulateSeeds } from './seed-pool.js';
import { Summary } from './summary.js';

const PROGRAM = fileURLToPath(import.meta.url);
/** Real milliseconds between two lines of progress. */
const PROGRESS_PERIOD = 10_000;
/** The exit code after Ctrl-C: 128 + the number of SIGINT. */
const INTERRUPTED = 130;

const USAGE = `usage: npm run simulate -- [options]
  --seeds N      how many seeds to simulate; default 10, or 1 with --seed
  --seed S       the first seed; default 1
  --hours H      virtual hours of faults of each seed; default 0.05
  --processes P  how many processes; default: the cores of this machine
  --trace        prints the trace; for one seed only
  --bug NAME     injects a bug that a check must find; an unknown NAME prints all names
  --help         prints this text`;

function fail(message: string): never {
  console.error(`${message}\n${USAGE}`);
  process.exit(2);
}

function parseArguments() {
  try {
    return parseArgs({
      options: {
        seeds: { type: 'string' },
        seed: { type: 'string' },
        hours: { type: 'string', default: '0.05' },
        processes: { type: 'string', default: `${availableParallelism()}` },
        trace: { type: 'boolean', default: false },
        bug: { type: 'string' },
        help: { type: 'boolean', default: false },
        // Not in USAGE: the runner starts its worker processes with this flag.
        worker: { type: 'boolean', default: false },
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

function integer(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    fail(`--${name}: got ${text}, expected an integer from 1`);
  return value;
}

const hours = Number(values.hours);
if (!(hours > 0 && hours <= 1_000))
  fail(`--hours: got ${values.hours}, expected a number above 0, up to 1000`);
const seconds = hours * 3_600;
const first = integer('seed', values.seed ?? '1');
const count = integer('seeds', values.seeds ?? (values.seed === undefined ? '10' : '1'));
const processes = Math.min(integer('processes', values.processes), count);
const injected = values.bug === undefined ? undefined : INJECTED_BUGS[values.bug];
if (values.bug !== undefined && injected === undefined)
  fail(`--bug: got ${values.bug}, expected one of: ${Object.keys(INJECTED_BUGS).join('; ')}`);
if (values.trace && count > 1) fail(`--trace: got ${count} seeds, expected one`);

const simulate = (seed: number, onTrace?: (line: string) => void): Promise<ClusterReport> =>
  runCluster(seed, seconds, { onTrace, bug: injected?.make() });

/**
 * Repeats the simulation of a seed that has failed, and writes its trace. Returns the path, and a
 * remark if the second run differs from the first.
 */
async function keepTrace({ seed, ...result }: SeedResult): Promise<string> {
  const path = join(dirname(PROGRAM), `seed-${seed}-hours-${hours}.trace`);
  mkdirSync(dirname(path), { recursive: true });
  const file = createWriteStream(path);
  const again = await resultOf(seed, () => simulate(seed, (line) => void file.write(`${line}\n`)));
  await new Promise<void>((resolve) => file.end(() => resolve()));
  const isEqual =
    'report' in result && 'report' in again
      ? result.report.traceHash === again.report.traceHash
      : 'error' in result && 'error' in again;
  return isEqual ? path : `${path}\n  it differs from the first run: the seed does not repeat`;
}

async function main(): Promise<void> {
  const start = performance.now();
  const summary = new Summary();
  const failures: SeedResult[] = [];
  const elapsed = (): number => performance.now() - start;
  const command = (seed: number): string => {
    const bug = values.bug === undefined ? '' : ` --bug '${values.bug}'`;
    return `npm run simulate -- --seed ${seed} --hours ${hours}${bug}`;
  };
  const onResult = (result: SeedResult): void => {
    const violations = summary.add(result);
    if (violations.length === 0) return;
    failures.push(result);
    console.log(`seed ${result.seed} FAILED:\n  ${violations.join('\n  ')}`);
    console.log(`  repeat it with: ${command(result.seed)}`);
  };
  process.once('SIGINT', () => {
    const { seeds, violations } = summary;
    console.log(`interrupted: ${seeds} of ${count} seeds ran, violations: ${violations}`);
    process.exit(INTERRUPTED);
  });
  const progress = setInterval(() => {
    const failed = failures.length > 0 ? `, ${failures.length} failed` : '';
    const time = (elapsed() / 1_000).toFixed(0);
    console.error(`${summary.seeds} of ${count} seeds, ${time} s${failed}`);
  }, PROGRESS_PERIOD);
  const seeds = Array.from({ length: count }, (_, index) => first + index);
  if (count === 1) {
    const onTrace = values.trace ? (line: string) => console.log(line) : undefined;
    onResult(await resultOf(first, (seed) => simulate(seed, onTrace)));
  } else {
    const args = [...process.argv.slice(2), '--worker'];
    await simulateSeeds(seeds, { program: PROGRAM, args, processes, onResult });
  }
  clearInterval(progress);
  for (const failure of failures)
    console.log(`the trace of seed ${failure.seed}: ${await keepTrace(failure)}`);
  console.log(summary.lines(elapsed()).join('\n'));
  process.exitCode = failures.length === 0 ? 0 : 1;
}

if (values.worker) runWorker(simulate);
else await main();
