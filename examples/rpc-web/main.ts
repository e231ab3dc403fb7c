/**
 * A page that calls a service over WebSocket: calls, a stream of the list as it changes, and calls
 * from the server back to all pages.
 *
 * Without options, the page and the service are served on free ports. The program prints both.
 *
 *   npm run example -- rpc-web
 *   npm run example -- rpc-web --port 8080 --address ws://127.0.0.1:8849/rpc
 */
import { parseArgs } from 'node:util';
import { type RpcServer, serve } from 'getty-ts/rpc';
import { openPages } from '../echo-web/pages.js';
import { taskService } from './tasks.js';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    address: { type: 'string', default: 'ws://127.0.0.1:0/rpc' },
  },
});
const pages = await openPages(Number(values.port));
const server: RpcServer = await serve(values.address, [taskService(() => server.channels)], {
  // A page's limits: calls under way, bytes of a message, connections.
  maxPendingCalls: 100,
  session: { maxMessageBytes: 64 * 1024 },
  maxSessions: 1_000,
  websocket: { allowOrigin: [...pages.origins] },
});
console.log(`tasks at ${server.address}`);
await pages.show(new URL('page/', import.meta.url), server.address);

process.once('SIGINT', () => {
  pages.close();
  void server.close();
});
