/**
 * Calls a worker thread. The worker calls the main thread with its progress, over the same session.
 *
 *   npm run example -- rpc-thread --below 200000
 */
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { connect, implement } from 'getty-ts/rpc';
import { Primes, Progress } from './contract.js';

const { values } = parseArgs({ options: { below: { type: 'string', default: '200000' } } });
const below = Number(values.below);

const worker = new Worker(new URL('./worker.js', import.meta.url));
const progress = implement(Progress, { report: (percent) => console.log(`${percent} %`) });
const client = await connect(
  { port: worker, name: 'primes' },
  // The timeout includes the time in which the worker loads.
  { services: [progress], connectTimeout: 30_000 },
);

const count = await client.stub(Primes).count(below, { timeout: 300_000 });
console.log(`${count} primes below ${below}, from ${client.address}`);

// The server of the worker keeps it running.
await client.close();
await worker.terminate();
