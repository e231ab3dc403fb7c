/**
 * A worker: `worker.js NAME ROUNDS [REGISTRY]`. It publishes itself in the registry; without one it
 * listens at the port that all workers share.
 */
import { createHash } from 'node:crypto';
import { file } from 'getty-ts/file';
import { provide } from 'getty-ts/micro';
import { implement, serve } from 'getty-ts/rpc';
import { Hasher } from './hasher.js';

const [worker = '', rounds, directory] = process.argv.slice(2);
/** A free port; in a process that node:cluster started, the same one for all. */
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
// The id stays over restarts, so that the entry of who died is replaced.
const endpoint =
  registry === undefined
    ? await serve(address, services)
    : await provide({ registry, id: worker, address, services });

/** Leaves the registry, lets calls under way finish, ends. */
async function stop(): Promise<void> {
  await endpoint.close();
  await registry?.[Symbol.asyncDispose]();
  process.exit(0);
}
process.on('SIGTERM', stop);
// Whoever started it is gone.
process.on('disconnect', stop);
// Ctrl-C reaches every process of a terminal; the one that started the workers ends them.
process.on('SIGINT', () => {});
process.send?.(endpoint.address);
