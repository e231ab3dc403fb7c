// @ts-check
/** getty with Protobuf, the promise API and the defaults. */
import { contract, connect as dial, implement, serve as listen } from '../../dist/rpc/index.js';
import { answer, TestService } from '../message.mjs';

const Test = contract(TestService, { version: 'v1.0' });

export function serve() {
  const nothing = () => ({});
  return listen('tcp://127.0.0.1:0', [
    implement(Test, { test: answer, add: nothing, err: nothing, event: nothing }),
  ]);
}

/**
 * @param {import('../../dist/rpc/index.js').RpcClient} client
 * @param {Pick<import('../../dist/rpc/index.js').RpcClient, 'stub'>} callee the client, or one of
 *   its channels
 */
export function callable(client, callee) {
  const stub = callee.stub(Test);
  return {
    call: (/** @type {import('../message.mjs').Request} */ request) => stub.test(request),
    close: () => client.close(),
  };
}

/** @type {import('../message.mjs').Peer['connect']} */
export async function connect(address) {
  const client = await dial(address, { connections: 1 });
  return callable(client, client);
}
