// @ts-check
/** getty with busyPoll on both sides. Each process occupies a core. */
import { contract, connect as dial, implement, serve as listen } from '../../dist/rpc/index.js';
import { answer, TestService } from '../message.mjs';

const Test = contract(TestService, { version: 'v1.0' });
/** Milliseconds. */
const busyPoll = 5;

export function serve() {
  const nothing = () => ({});
  return listen(
    'tcp://127.0.0.1:0',
    [implement(Test, { test: answer, add: nothing, err: nothing, event: nothing })],
    { busyPoll },
  );
}

/** @type {import('../message.mjs').Peer['connect']} */
export async function connect(address) {
  const client = await dial(address, { connections: 1, busyPoll });
  const stub = client.stub(Test);
  return { call: (request) => stub.test(request), close: () => client.close() };
}
