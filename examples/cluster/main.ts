/**
 * One service on several cores: a worker process for each. A consumer finds the workers in a
 * registry and spreads its calls. The program measures one worker, and then all. With --shared-port
 * the workers share one port, and node:cluster spreads connections.
 *
 *   npm run example -- cluster --workers 2
 *   npm run example -- cluster --workers 2 --shared-port
 */
import { fork } from 'node:child_process';
import cluster from 'node:cluster';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { file } from 'getty-ts/file';
import { consume, leastActive } from 'getty-ts/micro';
import { connect, retry } from 'getty-ts/rpc';
import { Hasher } from './hasher.js';
import { type Figures, load } from './load.js';
import { Workers } from './workers.js';

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' },
    'in-flight': { type: 'string', default: '16' },
    seconds: { type: 'string', default: '3' },
    // Rounds of SHA-256 in each call; 400 take some hundred microseconds.
    rounds: { type: 'string', default: '400' },
    'shared-port': { type: 'boolean', default: false },
  },
});

/** Connections of the client for each worker with --shared-port. */
const CONNECTIONS_PER_WORKER = 4;
const PROGRAM = fileURLToPath(new URL('./worker.js', import.meta.url));

const count = readNumber('workers', 2, 64);
const inFlight = readNumber('in-flight', 1, 10_000);
const seconds = readNumber('seconds', 0.1, 3_600);
const rounds = readNumber('rounds', 1, 1_000_000);

const folder = mkdtempSync(join(tmpdir(), 'getty-cluster-'));
const workers = new Workers(values['shared-port'] ? forkAtSharedPort : forkInRegistry);
const stopped = new AbortController();
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
] as const) {
  process.on(signal, async () => {
    process.exitCode = 128 + number;
    stopped.abort();
    await stop();
    process.exit();
  });
}

try {
  await run();
} catch (error) {
  // Calls in flight fail when the program is stopped.
  if (!stopped.signal.aborted) throw error;
} finally {
  await stop();
}

async function stop(): Promise<void> {
  await workers.stop();
  rmSync(folder, { recursive: true, force: true });
}

async function run(): Promise<void> {
  const names = Array.from({ length: count }, (_, i) => `worker-${i + 1}`);
  console.log(
    `${inFlight} calls in flight for ${seconds} s, to 1 worker and then to ${count}; cores of this machine: ${availableParallelism()}`,
  );
  const address = await workers.start('worker-1');
  const alone = await measure(address, 1);
  await Promise.all(names.slice(1).map((name) => workers.start(name)));
  const all = await measure(address, count);
  if (stopped.signal.aborted) return;

  const total = [...all.spread.values()].reduce((sum, calls) => sum + calls, 0);
  const shares = names.map(
    (name) => `${name} ${Math.round((100 * (all.spread.get(name) ?? 0)) / total)} %`,
  );
  const failed = alone.failed + all.failed;
  console.log(
    `${alone.rate} calls/s with 1 worker, ${all.rate} with ${count}: ${(all.rate / alone.rate).toFixed(2)} times as many`,
  );
  console.log(`failed ${failed}; spread: ${shares.join(', ')}`);
  if (failed > 0) process.exitCode = 1;
}

/** Measures with a new client, which finds the present workers. */
async function measure(address: string, workerCount: number): Promise<Figures> {
  const options = {
    title: workerCount === 1 ? '1 worker' : `${workerCount} workers`,
    inFlight,
    seconds,
    signal: stopped.signal,
  };
  if (values['shared-port']) {
    await using client = await connect(address, {
      connections: CONNECTIONS_PER_WORKER * workerCount,
      interceptors: [retry()],
    });
    const stub = client.stub(Hasher);
    return await load(() => stub.hash('getty'), options);
  }
  await using registry = file(folder);
  await using consumer = consume({ registry, balancer: leastActive() });
  const stub = consumer.stub(Hasher);
  return await load(() => stub.hash('getty'), options);
}

function forkInRegistry(name: string) {
  return fork(PROGRAM, [name, `${rounds}`, folder]);
}

/** node:cluster listens in this process and passes each connection to the next worker. */
function forkAtSharedPort(name: string) {
  cluster.setupPrimary({ exec: PROGRAM, args: [name, `${rounds}`] });
  return cluster.fork().process;
}

function readNumber(
  name: 'workers' | 'in-flight' | 'seconds' | 'rounds',
  min: number,
  max: number,
): number {
  const number = Number(values[name]);
  if (number >= min && number <= max && (Number.isInteger(number) || name === 'seconds'))
    return number;
  console.error(`cluster: --${name}: got ${values[name]}, expected from ${min} to ${max}`);
  process.exit(1);
}
