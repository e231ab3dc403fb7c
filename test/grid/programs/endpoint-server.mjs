/** An rpc server of the grid without a registry: node endpoint-server.mjs SETTINGS_JSON. */
import { implement, serve } from '../../../dist/rpc/index.js';
import { MACHINE_FAULTS } from './machine-faults.mjs';
import { answerCommands, Shop } from './shop.mjs';

const { address } = JSON.parse(process.argv[2]);
let calls = 0;
const shop = implement(Shop, {
  read: (call) => call,
  order(call) {
    calls++;
    return call;
  },
  note() {},
  async *list() {},
  collect: () => 0,
  async *chat() {},
});
const server = await serve(address, [shop]);

answerCommands({
  ...MACHINE_FAULTS,
  sessions: () => server.channels.size,
  calls: () => calls,
  close: () => server.close(),
});
process.send({ ready: server.address });
