/**
 * A provider of the grid: node provider.mjs SETTINGS_JSON. Its log file gets the id of each call
 * before the handler does anything else.
 */
import { openSync, writeSync } from 'node:fs';
import { provide } from '../../../dist/micro/index.js';
import { registry as openRegistry } from '../../../dist/registries/index.js';
import { implement } from '../../../dist/rpc/index.js';
import { MACHINE_FAULTS } from './machine-faults.mjs';
import { answerCommands, Shop, sleep } from './shop.mjs';

const settings = JSON.parse(process.argv[2]);
const { url, registryOptions, id, address, log, server = {}, messages, pause } = settings;
const file = openSync(log, 'a');
const run = (call) => writeSync(file, `${call}\n`);
const work = () => sleep(Math.random() < 0.02 ? 150 : Math.random() * 15);

const shop = implement(Shop, {
  async read(call) {
    run(call);
    await work();
    return call;
  },
  async order(call) {
    run(call);
    await work();
    return call;
  },
  note(call) {
    run(call);
  },
  async *list(call) {
    run(call);
    for (let i = 0; i < messages; i++) {
      await sleep(pause);
      yield i;
    }
  },
  async collect(calls) {
    let count = 0;
    for await (const call of calls) if (count++ === 0) run(call);
    return count;
  },
  async *chat(calls) {
    let count = 0;
    for await (const call of calls) {
      if (count === 0) run(call);
      yield count++;
    }
  },
});

const registry = await openRegistry(url, registryOptions);
const provider = await provide({ ...server, registry, id, address, services: [shop] });

answerCommands({
  ...MACHINE_FAULTS,
  published: () => provider.published.map((node) => node.id),
  async close() {
    await provider.close();
    await registry[Symbol.asyncDispose]();
  },
});
process.send({ ready: provider.address });
