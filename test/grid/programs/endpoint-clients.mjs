/** Many rpc clients of one server: node endpoint-clients.mjs SETTINGS_JSON. */
import { connect } from '../../../dist/rpc/index.js';
import { MACHINE_FAULTS } from './machine-faults.mjs';
import { answerCommands, now, Shop, sleep } from './shop.mjs';

const { address } = JSON.parse(process.argv[2]);
const clients = [];
let calls = 0;

const open = (connections) =>
  connect(address, { connections, connectTimeout: 60_000, reconnect: { retryFirst: true } });

/** Runs `task` `times` times, `parallel` at once. */
async function repeat(times, parallel, task) {
  let left = times;
  const work = async () => {
    while (left-- > 0) await task();
  };
  await Promise.all(Array.from({ length: parallel }, work));
}

async function order(client) {
  const id = `${++calls}`;
  const answer = await client.stub(Shop).order(id, { timeout: 60_000 });
  if (answer !== id) throw new Error(`got the answer ${answer}, expected ${id}`);
}

answerCommands({
  ...MACHINE_FAULTS,
  /** Opens the sessions of one client after the other: a backlog that is full drops packets. */
  async open(count, connections) {
    for (let i = 0; i < count; i++) {
      const client = await open(connections);
      clients.push(client);
      while (client.channels.size < connections) await sleep(5);
    }
  },
  sessions: () => clients.reduce((sum, client) => sum + client.channels.size, 0),
  /** `times` calls of each client. Resolves with the milliseconds that they took. */
  async call(times) {
    const start = now();
    for (const client of clients) await repeat(times, 8, () => order(client));
    return now() - start;
  },
  /** Connects, calls once and closes, `times` times. */
  churn: (times, parallel) =>
    repeat(times, parallel, async () => {
      const client = await open(1);
      await order(client);
      await client.close();
    }),
  async close() {
    await Promise.all(clients.map((client) => client.close()));
  },
});
process.send({ ready: address });
