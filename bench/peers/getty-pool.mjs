// @ts-check
/**
 * getty with all connections in one client, as in a program that needs many connections. Each
 * connection is called through its own channel, so that all have the same number of calls.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { connect as dial } from '../../dist/rpc/index.js';
import { callable } from './getty.mjs';

export { connect, serve } from './getty.mjs';

/** @type {import('../message.mjs').Peer['connectAll']} */
export async function connectAll(address, connections) {
  const client = await dial(address, { connections });
  while (client.channels.size < connections) await turn();
  return [...client.channels].map((channel) => callable(client, channel));
}
