/**
 * CPU-bound work in worker threads, limited by the taskPool option. Sessions answer heartbeats
 * while the threads are busy, and stop to read requests when the pool is full.
 *
 *   npm run example -- workers --address tcp://127.0.0.1:8848 --threads 2
 */
import { parseArgs } from 'node:util';
import { lines, serve, taskPool } from 'getty-ts';
import { Workers } from './workers.js';

const { values } = parseArgs({
  options: {
    address: { type: 'string', default: 'tcp://127.0.0.1:8848' },
    threads: { type: 'string', default: '2' },
  },
});

const threads = Number(values.threads);
const workers = new Workers(new URL('./prime.js', import.meta.url), threads);

const server = await serve(values.address, {
  codec: lines(),
  // One task for each thread; the queue keeps the threads busy.
  taskPool: taskPool({ concurrency: threads, queue: threads * 4 }),
  listener: {
    async onMessage(session, line) {
      const answer = await workers.run(line);
      if (!session.closed) session.write(`${line}: ${answer}`);
    },
  },
});
console.log(`asks for primes at ${server.address}`);
process.once('SIGINT', async () => {
  await server.close();
  await workers.close();
});
