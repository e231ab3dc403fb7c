// @ts-check
/**
 * Ours with all connections in one client, as a program has them that wants many; each is called
 * through its own channel, so that none has more calls than another.
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
