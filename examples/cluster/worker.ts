/**
 * A worker process: `worker.js NAME ROUNDS [REGISTRY]`. It is published in the registry, or without
 * one listens at the port that all workers share.
 */
import { createHash } from 'node:crypto';
import { file } from 'getty-ts/file';
import { provide } from 'getty-ts/micro';
import { implement, serve } from 'getty-ts/rpc';
import { Hasher } from './hasher.js';

const [worker = '', rounds, directory] = process.argv.slice(2);
/** A free port; the same port for all processes that node:cluster starts. */
const address = 'tcp://127.0.0.1:0';

const services = [
  implement(Hasher, {
    hash(text) {
      let digest = text;
      for (let i = 0; i < Number(rounds); i++)
        digest = createHash('sha256').update(digest).digest('hex');
      return { digest, worker };
    },
  }),
];
const registry = directory === undefined ? undefined : file(directory);
// A worker has the same id after a restart, so it replaces its old entry.
const endpoint =
  registry === undefined
    ? await serve(address, services)
    : await provide({ registry, id: worker, address, services });

/** Deregisters, lets calls in flight finish, and ends the process. */
async function stop(): Promise<void> {
  await endpoint.close();
  await registry?.[Symbol.asyncDispose]();
  process.exit(0);
}
process.on('SIGTERM', stop);
// The parent process has ended.
process.on('disconnect', stop);
// Ctrl-C reaches every process of a terminal; the parent process ends the workers.
process.on('SIGINT', () => {});
process.send?.(endpoint.address);
