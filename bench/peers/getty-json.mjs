// @ts-check
/** getty with a JSON contract without schemas: JSON.parse and JSON.stringify. */
import {
  contract,
  connect as dial,
  implement,
  serve as listen,
  unary,
} from '../../dist/rpc/index.js';
import { answer } from '../message.mjs';

/** @typedef {import('../message.mjs').Request} Request */
/** @typedef {import('../message.mjs').Reply} Reply */
const Test = contract(
  'TestService',
  { Test: /** @type {typeof unary<Request, Reply>} */ (unary)() },
  { version: 'v1.0' },
);

export function serve() {
  return listen('tcp://127.0.0.1:0', [implement(Test, { Test: answer })]);
}

/** @type {import('../message.mjs').Peer['connect']} */
export async function connect(address) {
  const client = await dial(address, { connections: 1 });
  const stub = client.stub(Test);
  return { call: (request) => stub.Test(request), close: () => client.close() };
}
