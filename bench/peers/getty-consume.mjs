// @ts-check
/**
 * getty's consume() with its defaults: round robin, failover, ejection. The registry is a list in
 * the process of the client, and the server is that of the peer `getty`.
 */
import { consume } from '../../dist/micro/index.js';
import { staticRegistry } from '../../dist/registries/static/index.js';
import { Test } from './getty.mjs';

export { serve } from './getty.mjs';

/** @type {import('../message.mjs').Peer['connect']} */
export async function connect(address) {
  const registry = staticRegistry([address]);
  const consumer = consume({ registry, connections: 1 });
  const stub = consumer.stub(Test);
  await consumer.resolver(Test).ready();
  return {
    call: (request) => stub.test(request),
    close: () => consumer.close().then(() => registry[Symbol.asyncDispose]()),
  };
}
